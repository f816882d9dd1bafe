package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

// The pods that the streams are opened to are made by whoever runs this: `shell`, which holds a shell and curl, and
// `web`, which serves a page at port 80.
func (b *bench) pod(name, subresource string, options *corev1.PodExecOptions) *url.URL {
	request := b.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(b.namespace).Name(name).SubResource(subresource)
	if options != nil {
		request.VersionedParams(options, scheme.ParameterCodec)
	}
	return request.URL()
}

func checkExec(ctx context.Context, b *bench) error {
	for _, protocol := range []string{"WebSocket", "SPDY"} {
		run := func(stdin io.Reader, command ...string) (string, string, error) {
			options := &corev1.PodExecOptions{Command: command, Stdin: stdin != nil, Stdout: true, Stderr: true}
			address := b.pod("shell", "exec", options)
			var executor remotecommand.Executor
			var err error
			if protocol == "SPDY" {
				executor, err = remotecommand.NewSPDYExecutor(b.config, http.MethodPost, address)
			} else {
				executor, err = remotecommand.NewWebSocketExecutor(b.config, http.MethodGet, address.String())
			}
			if err != nil {
				return "", "", err
			}
			var out, problems bytes.Buffer
			err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &problems})
			return out.String(), problems.String(), err
		}
		out, problems, err := run(nil, "sh", "-c", "echo out; echo err >&2; exit 3")
		var code exec.CodeExitError
		if out != "out\n" || problems != "err\n" || !errors.As(err, &code) || code.Code != 3 {
			return fmt.Errorf("%s: %q, %q, %w", protocol, out, problems, err)
		}
		big := bytes.Repeat([]byte{0, 255, 10, 13, 27}, 300_000)
		out, problems, err = run(bytes.NewReader(big), "cat")
		if err != nil || out != string(big) {
			return fmt.Errorf("%s: %d of %d bytes came back, %q, %w", protocol, len(out), len(big), problems, err)
		}
	}
	return nil
}

func checkPortForward(ctx context.Context, b *bench) error {
	address := b.pod("web", "portforward", nil)
	transport, upgrader, err := spdy.RoundTripperFor(b.config)
	if err != nil {
		return err
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(address, b.config)
	if err != nil {
		return err
	}
	for name, dialer := range map[string]httpstream.Dialer{"SPDY": old, "WebSocket": tunnel} {
		stop, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:80"}, stop, ready, io.Discard, io.Discard)
		if err != nil {
			return err
		}
		go func() { done <- forwarder.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-done:
			return fmt.Errorf("%s: %w", name, err)
		}
		ports, err := forwarder.GetPorts()
		if err != nil {
			return err
		}
		plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for i := range 30 {
			answer, err := plain.Get(fmt.Sprintf("http://127.0.0.1:%d/%d", ports[0].Local, i))
			if err != nil {
				return fmt.Errorf("%s, request %d: %w", name, i, err)
			}
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || !strings.Contains(string(text), fmt.Sprintf("serving /%d ", i)) {
				return fmt.Errorf("%s, request %d: %q, %w", name, i, text, err)
			}
		}
		close(stop)
		if err := <-done; err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func checkLogs(ctx context.Context, b *bench) error {
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "speaker"}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "c", Image: "alpine", Command: []string{"sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"}}},
	}}
	pods := b.client.CoreV1().Pods(b.namespace)
	if _, err := pods.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := until(ctx, "the pod runs", func() (bool, error) {
		pod, err := pods.Get(ctx, "speaker", metav1.GetOptions{})
		return err == nil && pod.Status.Phase != corev1.PodPending, err
	}); err != nil {
		return err
	}
	stream, err := pods.GetLogs("speaker", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	if err != nil || string(text) != "line 1\nline 2\nline 3\n" {
		return fmt.Errorf("the log is %q, %w", text, err)
	}
	return pods.Delete(ctx, "speaker", metav1.DeleteOptions{})
}
