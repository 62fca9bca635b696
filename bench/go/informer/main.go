// A minimal informer by client-go, for comparison: a shared informer over all VMSnapshots whose transform takes managedFields away. The first
// argument says what it keeps: `typed` objects of Go structs, or `dynamic` ones, as the dynamic client has them.
// It writes a line of JSON once it has synced, and another one for each line that it reads.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	kuberuntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const plural = "vmsnapshots"

func typed(config *rest.Config) (cache.SharedIndexInformer, error) {
	scheme := kuberuntime.NewScheme()
	scheme.AddKnownTypes(groupVersion, &VMSnapshot{}, &VMSnapshotList{})
	metav1.AddToGroupVersion(scheme, groupVersion)
	config.GroupVersion = &groupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	source := cache.NewListWatchFromClient(client, plural, metav1.NamespaceAll, fields.Everything())
	return cache.NewSharedIndexInformer(source, &VMSnapshot{}, 0, cache.Indexers{}), nil
}

func untyped(config *rest.Config) (cache.SharedIndexInformer, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	resource := groupVersion.WithResource(plural)
	return dynamicinformer.NewFilteredDynamicInformer(client, resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer(), nil
}

var kinds = map[string]func(*rest.Config) (cache.SharedIndexInformer, error){"typed": typed, "dynamic": untyped}

func withoutManagedFields(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func run(kind string) error {
	make, known := kinds[kind]
	if !known {
		return fmt.Errorf("no kind %q", kind)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	before := heapBytes()
	startedAt := time.Now()
	informer, err := make(config)
	if err != nil {
		return err
	}
	if err := informer.SetTransform(withoutManagedFields); err != nil {
		return err
	}
	go informer.RunWithContext(context.Background())
	for !informer.HasSynced() {
		time.Sleep(time.Millisecond)
	}
	answers := json.NewEncoder(os.Stdout)
	if err := answers.Encode(map[string]any{"syncMs": float64(time.Since(startedAt).Microseconds()) / 1000}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer := map[string]any{"objects": len(informer.GetStore().ListKeys()), "heapBytes": int64(heapBytes()) - int64(before)}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
