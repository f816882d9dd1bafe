package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/retry"
)

func checkDiscovery(ctx context.Context, b *bench) error {
	legacy := rest.CopyConfig(b.config)
	modern, err := discovery.NewDiscoveryClientForConfig(legacy)
	if err != nil {
		return err
	}
	old := *modern
	old.UseLegacyDiscovery = true
	var names [2][]string
	for i, client := range []*discovery.DiscoveryClient{modern, &old} {
		_, lists, err := client.ServerGroupsAndResources()
		if err != nil {
			return err
		}
		for _, list := range lists {
			for _, r := range list.APIResources {
				// Singular names may be absent from what a resource says in the legacy form.
				names[i] = append(names[i], fmt.Sprint(list.GroupVersion, r.Name, r.Kind, r.Namespaced, r.Verbs, r.ShortNames))
			}
		}
		slices.Sort(names[i])
	}
	if len(names[0]) < 40 || !slices.Equal(names[0], names[1]) {
		return fmt.Errorf("the two discoveries differ:\n%v\n%v", names[0], names[1])
	}
	cached := memory.NewMemCacheClient(modern)
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)
	for _, name := range []string{"deploy", "deployment", "deployments.apps", "deployments.v1.apps"} {
		gvr, _ := schema.ParseResourceArg(name)
		partial := schema.GroupVersionResource{Resource: name}
		if gvr != nil {
			partial = *gvr
		} else if group, resource, ok := cut(name); ok {
			partial = schema.GroupVersionResource{Group: group, Resource: resource}
		}
		kind, err := mapper.KindFor(partial)
		if err != nil || kind.Kind != "Deployment" {
			return fmt.Errorf("%s is %v: %w", name, kind, err)
		}
	}
	mapping, err := mapper.RESTMapping(schema.GroupKind{Kind: "Node"}, "v1")
	if err != nil || mapping.Scope.Name() != "root" {
		return fmt.Errorf("Node is mapped to %v: %w", mapping, err)
	}
	document, err := modern.OpenAPISchema()
	if err != nil || len(document.GetDefinitions().GetAdditionalProperties()) < 100 {
		return fmt.Errorf("OpenAPI v2: %w", err)
	}
	paths, err := modern.OpenAPIV3().Paths()
	if err != nil || paths["apis/apps/v1"] == nil {
		return fmt.Errorf("OpenAPI v3: %v, %w", paths, err)
	}
	_, err = paths["apis/apps/v1"].Schema("application/json")
	return err
}

func cut(name string) (group, resource string, ok bool) {
	resource, group, ok = strings.Cut(name, ".")
	return
}

func checkTyped(ctx context.Context, b *bench) error { return crud(ctx, b.client, b.namespace, "typed") }

func checkProtobuf(ctx context.Context, b *bench) error {
	config := rest.CopyConfig(b.config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return crud(ctx, client, b.namespace, "protobuf")
}

func crud(ctx context.Context, client kubernetes.Interface, namespace, prefix string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	for i := range 7 {
		object := &corev1.ConfigMap{Data: map[string]string{"n": fmt.Sprint(i)}}
		object.Name, object.Labels = fmt.Sprintf("%s-%d", prefix, i), map[string]string{"set": prefix}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	first, err := maps.Get(ctx, prefix+"-0", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: prefix + "-0"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a second create: %v", err)
	}
	if _, err := maps.Get(ctx, "nosuch", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("get of nothing: %v", err)
	}
	// An update on an old version is a conflict, and the usual loop gets over it.
	fresh := first.DeepCopy()
	fresh.Data["n"] = "new"
	if _, err := maps.Update(ctx, fresh, metav1.UpdateOptions{}); err != nil {
		return err
	}
	first.Data["m"] = "stale"
	if _, err := maps.Update(ctx, first, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("a stale update: %v", err)
	}
	if err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		object, err := maps.Get(ctx, prefix+"-0", metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Data["m"] = "retried"
		_, err = maps.Update(ctx, object, metav1.UpdateOptions{})
		return err
	}); err != nil {
		return err
	}
	patches := map[types.PatchType]string{
		types.JSONPatchType:           `[{"op":"test","path":"/data/n","value":"new"},{"op":"add","path":"/data/json","value":"1"}]`,
		types.MergePatchType:          `{"data":{"merge":"1","n":null}}`,
		types.StrategicMergePatchType: `{"data":{"strategic":"1"}}`,
	}
	for _, kind := range []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType} {
		if _, err := maps.Patch(ctx, prefix+"-0", kind, []byte(patches[kind]), metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	object, err := maps.Get(ctx, prefix+"-0", metav1.GetOptions{})
	if err != nil || fmt.Sprint(object.Data) != "map[json:1 m:retried merge:1 strategic:1]" {
		return fmt.Errorf("after three patches: %v, %w", object.Data, err)
	}
	// Pages of two, all seven, in order.
	var seen []string
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return maps.List(ctx, options)
	})
	pages.PageSize = 2
	if err := pages.EachListItem(ctx, metav1.ListOptions{LabelSelector: "set=" + prefix}, func(o runtime.Object) error {
		seen = append(seen, o.(*corev1.ConfigMap).Name)
		return nil
	}); err != nil {
		return err
	}
	if len(seen) != 7 || !slices.IsSorted(seen) {
		return fmt.Errorf("pages gave %v", seen)
	}
	uid := types.UID("00000000-0000-0000-0000-000000000000")
	err = maps.Delete(ctx, prefix+"-0", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("delete of another's uid: %v", err)
	}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "set=" + prefix}); err != nil {
		return err
	}
	left, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "set=" + prefix})
	if err != nil || len(left.Items) != 0 {
		return fmt.Errorf("after deletecollection %d are left, %w", len(left.Items), err)
	}
	return nil
}

var services = schema.GroupVersionResource{Version: "v1", Resource: "services"}

func checkDynamic(ctx context.Context, b *bench) error {
	client, err := dynamic.NewForConfig(b.config)
	if err != nil {
		return err
	}
	here := client.Resource(services).Namespace(b.namespace)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"generateName": "dynamic-"},
		"spec": map[string]any{"ports": []any{map[string]any{"port": int64(80)}}, "selector": map[string]any{"app": "x"}},
	}}
	made, err := here.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	address, _, _ := unstructured.NestedString(made.Object, "spec", "clusterIP")
	if address == "" || !strings.HasPrefix(made.GetName(), "dynamic-") {
		return fmt.Errorf("made %v", made.Object)
	}
	if _, err := here.Patch(ctx, made.GetName(), types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		return err
	}
	list, err := here.List(ctx, metav1.ListOptions{LabelSelector: "a=b"})
	if err != nil || len(list.Items) != 1 || list.Items[0].GetKind() != "Service" {
		return fmt.Errorf("list: %v, %w", list, err)
	}
	return here.Delete(ctx, made.GetName(), metav1.DeleteOptions{})
}

func checkMetadata(ctx context.Context, b *bench) error {
	client, err := metadata.NewForConfig(b.config)
	if err != nil {
		return err
	}
	list, err := client.Resource(services).Namespace("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		// In protobuf, which this client asks for first, items do not tell their kind.
		if item.Name == "kubernetes" && item.Labels["component"] == "apiserver" && item.UID != "" {
			return nil
		}
	}
	return fmt.Errorf("listed %v", list.Items)
}

func checkApply(ctx context.Context, b *bench) error {
	maps := b.client.CoreV1().ConfigMaps(b.namespace)
	mine := coreapply.ConfigMap("applied", b.namespace).WithData(map[string]string{"a": "1"})
	if _, err := maps.Apply(ctx, mine, metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		return err
	}
	theirs := coreapply.ConfigMap("applied", b.namespace).WithData(map[string]string{"a": "2"})
	if _, err := maps.Apply(ctx, theirs, metav1.ApplyOptions{FieldManager: "two"}); !apierrors.IsConflict(err) {
		return fmt.Errorf("another's value: %v", err)
	}
	forced, err := maps.Apply(ctx, theirs, metav1.ApplyOptions{FieldManager: "two", Force: true})
	if err != nil || forced.Data["a"] != "2" {
		return fmt.Errorf("forced: %v, %w", forced, err)
	}
	// What one manager owns can be read back, as a configuration to apply again.
	extracted, err := coreapply.ExtractConfigMap(forced, "two")
	if err != nil || extracted.Data["a"] != "2" {
		return fmt.Errorf("extracted: %v, %w", extracted, err)
	}
	return maps.Delete(ctx, "applied", metav1.DeleteOptions{})
}
