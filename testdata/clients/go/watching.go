package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	toolsevents "k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	toolswatch "k8s.io/client-go/tools/watch"
)

func checkInformers(ctx context.Context, b *bench) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	before := b.requests.plainLists.Load()
	factory := informers.NewSharedInformerFactoryWithOptions(b.client, 0, informers.WithNamespace(b.namespace))
	var added, updated, deleted atomic.Int64
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		UpdateFunc: func(any, any) { updated.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	}
	maps := factory.Core().V1().ConfigMaps()
	if _, err := maps.Informer().AddEventHandler(handler); err != nil {
		return err
	}
	synced := []cache.InformerSynced{
		maps.Informer().HasSynced, factory.Core().V1().Pods().Informer().HasSynced,
		factory.Core().V1().Services().Informer().HasSynced, factory.Apps().V1().Deployments().Informer().HasSynced,
		factory.Discovery().V1().EndpointSlices().Informer().HasSynced,
		factory.Networking().V1().Ingresses().Informer().HasSynced,
	}
	untyped, err := dynamic.NewForConfig(b.config)
	if err != nil {
		return err
	}
	partial, err := metadata.NewForConfig(b.config)
	if err != nil {
		return err
	}
	dynamics := dynamicinformer.NewFilteredDynamicSharedInformerFactory(untyped, 0, b.namespace, nil)
	metas := metadatainformer.NewFilteredSharedInformerFactory(partial, 0, b.namespace, nil)
	synced = append(synced, dynamics.ForResource(services).Informer().HasSynced, metas.ForResource(services).Informer().HasSynced)
	factory.Start(ctx.Done())
	dynamics.Start(ctx.Done())
	metas.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("the caches do not fill")
	}
	if b.requests.watchLists.Load() < int64(len(synced)) || b.requests.plainLists.Load() != before {
		return fmt.Errorf("%d watch-lists for %d informers, %d lists: the server was not asked or refused to stream",
			b.requests.watchLists.Load(), len(synced), b.requests.plainLists.Load()-before)
	}
	client := b.client.CoreV1().ConfigMaps(b.namespace)
	start := added.Load()
	for i := range 50 {
		object := &corev1.ConfigMap{Data: map[string]string{"n": "0"}}
		object.Name = fmt.Sprintf("informed-%d", i)
		object, err := client.Create(ctx, object, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		object.Data["n"] = "1"
		if _, err := client.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if err := until(ctx, "the cache holds all with their last state", func() (bool, error) {
		for i := range 50 {
			object, err := maps.Lister().ConfigMaps(b.namespace).Get(fmt.Sprintf("informed-%d", i))
			if apierrors.IsNotFound(err) || err == nil && object.Data["n"] != "1" {
				return false, nil
			} else if err != nil {
				return false, err
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	for i := range 50 {
		if err := client.Delete(ctx, fmt.Sprintf("informed-%d", i), metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	return until(ctx, "each change is told once", func() (bool, error) {
		if added.Load()-start > 50 || deleted.Load() > 50 {
			return false, fmt.Errorf("added %d, deleted %d of 50", added.Load()-start, deleted.Load())
		}
		return added.Load()-start == 50 && updated.Load() >= 50 && deleted.Load() == 50, nil
	})
}

func checkWatch(ctx context.Context, b *bench) error {
	client := b.client.CoreV1().ConfigMaps(b.namespace)
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "watched"}}
	if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := client.Delete(ctx, "watched", metav1.DeleteOptions{}); err != nil {
		return err
	}
	// From the list on, nothing is missed, though it happened before the watch began; and it goes on over broken streams.
	watcher, err := toolswatch.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			second := int64(1)
			options.FieldSelector, options.TimeoutSeconds = "metadata.name=watched", &second
			return client.Watch(ctx, options)
		},
	})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	go func() {
		time.Sleep(1500 * time.Millisecond)
		_, _ = client.Create(ctx, object, metav1.CreateOptions{})
		_ = client.Delete(ctx, "watched", metav1.DeleteOptions{})
	}()
	for _, wanted := range []watch.EventType{watch.Added, watch.Deleted, watch.Added, watch.Deleted} {
		select {
		case event := <-watcher.ResultChan():
			if event.Type == watch.Bookmark {
				continue
			}
			if event.Type != wanted {
				return fmt.Errorf("%s instead of %s: %v", event.Type, wanted, event.Object)
			}
		case <-ctx.Done():
			return fmt.Errorf("no %s: %w", wanted, ctx.Err())
		}
	}
	return nil
}

func checkEvents(ctx context.Context, b *bench) error {
	about, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	if err != nil {
		return err
	}
	old := record.NewBroadcaster(record.WithContext(ctx))
	defer old.Shutdown()
	old.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: b.client.CoreV1().Events("")})
	recorder := old.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "clientgo"})
	for range 3 {
		recorder.Event(about, corev1.EventTypeNormal, "Counted", "said three times")
	}
	modern := toolsevents.NewBroadcaster(&toolsevents.EventSinkImpl{Interface: b.client.EventsV1()})
	defer modern.Shutdown()
	if err := modern.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	modern.NewRecorder(scheme.Scheme, "clientgo").Eventf(about, nil, corev1.EventTypeWarning, "Modern", "Check", "in the %s", "new form")
	return until(ctx, "both kinds of event are there", func() (bool, error) {
		list, err := b.client.CoreV1().Events(b.namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=kube-root-ca.crt,involvedObject.uid=" + string(about.UID),
		})
		if err != nil {
			return false, err
		}
		counted, seen := false, false
		for _, event := range list.Items {
			counted = counted || event.Reason == "Counted" && event.Count == 3
			seen = seen || event.Reason == "Modern" && event.Message == "in the new form" && event.Action == "Check"
		}
		return counted && seen, nil
	})
}

func checkLeaderElection(ctx context.Context, b *bench) error {
	leads := make(chan string, 10)
	stand := func(ctx context.Context, name string) (context.CancelFunc, error) {
		ctx, stop := context.WithCancel(ctx)
		lock, err := resourcelock.New(resourcelock.LeasesResourceLock, b.namespace, "leader",
			b.client.CoreV1(), b.client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: name})
		if err != nil {
			return stop, err
		}
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 300 * time.Millisecond,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leads <- name },
				OnStoppedLeading: func() {},
			},
		})
		if err == nil {
			go elector.Run(ctx)
		}
		return stop, err
	}
	expect := func(name string) error {
		select {
		case who := <-leads:
			if who != name {
				return fmt.Errorf("%s leads, not %s", who, name)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s never leads: %w", name, ctx.Err())
		}
	}
	stopFirst, err := stand(ctx, "first")
	defer stopFirst()
	if err != nil {
		return err
	}
	if err := expect("first"); err != nil {
		return err
	}
	stopSecond, err := stand(ctx, "second")
	defer stopSecond()
	if err != nil {
		return err
	}
	select {
	case who := <-leads:
		return fmt.Errorf("%s leads beside the first", who)
	case <-time.After(1500 * time.Millisecond):
	}
	stopFirst()
	return expect("second")
}
