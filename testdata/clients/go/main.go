// The client-go member of the client matrix: each check is one way a program uses the library. Run it as
// `clientgo -kubeconfig FILE -namespace NAME CHECK...`; it prints `ok CHECK` for each that holds and stops at the first
// that does not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"net/http"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A bench is what every check works with.
type bench struct {
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
	requests  *requests
}

// Requests seen on the wire, by how a list began.
type requests struct {
	watchLists, plainLists atomic.Int64
}

type counting struct {
	next http.RoundTripper
	to   *requests
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	if query.Get("sendInitialEvents") == "true" {
		c.to.watchLists.Add(1)
	} else if r.Method == http.MethodGet && query.Get("watch") == "" && query.Has("resourceVersion") {
		c.to.plainLists.Add(1)
	}
	return c.next.RoundTrip(r)
}

var checks = map[string]func(context.Context, *bench) error{
	"discovery":       checkDiscovery,
	"typed":           checkTyped,
	"protobuf":        checkProtobuf,
	"dynamic":         checkDynamic,
	"metadata":        checkMetadata,
	"informers":       checkInformers,
	"watch":           checkWatch,
	"events":          checkEvents,
	"leader-election": checkLeaderElection,
	"apply":           checkApply,
	"exec":            checkExec,
	"port-forward":    checkPortForward,
	"logs":            checkLogs,
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file that names the server")
	namespace := flag.String("namespace", "default", "where to work")
	version := flag.Bool("version", false, "only say what this is")
	flag.Parse()
	if *version {
		fmt.Println("client-go v0.37.1")
		return
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail("kubeconfig", err)
	}
	config.QPS, config.Burst = 200, 400
	seen := &requests{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, seen} })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		fail("client", err)
	}
	for _, name := range flag.Args() {
		check := checks[name]
		if check == nil {
			fail(name, fmt.Errorf("there is no such check"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		if err := check(ctx, &bench{config, client, *namespace, seen}); err != nil {
			fail(name, err)
		}
		cancel()
		fmt.Println("ok", name)
	}
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

// Until polls what must become true.
func until(ctx context.Context, what string, condition func() (bool, error)) error {
	for {
		done, err := condition()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
