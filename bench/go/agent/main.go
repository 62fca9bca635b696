// A minimal agent by controller-runtime, for comparison: a field-selected cache, the standard library's view of a directory, fsnotify, a finalizer,
// status by server-side apply, os.RemoveAll. It has none of the guards of a removal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"vmsnapshot.io/bench/snapshot"
)

const (
	finalizer  = "vmsnapshot.io/directory"
	fieldOwner = "vmsnapshot-status"
)

type agent struct {
	client  client.Client
	baseDir string
	rescan  time.Duration
	watches *watches
}

func (a *agent) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &VMSnapshot{}
	if err := a.client.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	dir := filepath.Join(a.baseDir, object.Spec.SnapshotName)
	if !object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, a.remove(ctx, object, dir)
	}
	if !controllerutil.ContainsFinalizer(object, finalizer) {
		before := object.DeepCopyObject().(*VMSnapshot)
		controllerutil.AddFinalizer(object, finalizer)
		if err := a.client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, err
		}
	}
	a.watches.add(dir, request.NamespacedName)
	status := statusOf(object, dir)
	if !reflect.DeepEqual(status, object.Status) {
		if err := a.apply(ctx, object, status); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: a.rescan}, nil
}

func (a *agent) remove(ctx context.Context, object *VMSnapshot, dir string) error {
	if !controllerutil.ContainsFinalizer(object, finalizer) {
		return nil
	}
	a.watches.remove(dir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	before := object.DeepCopyObject().(*VMSnapshot)
	controllerutil.RemoveFinalizer(object, finalizer)
	return a.client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

func (a *agent) apply(ctx context.Context, object *VMSnapshot, status Status) error {
	applied := &VMSnapshot{
		TypeMeta:   metav1.TypeMeta{APIVersion: groupVersion.String(), Kind: "VMSnapshot"},
		ObjectMeta: metav1.ObjectMeta{Name: object.Name, Namespace: object.Namespace, ResourceVersion: object.ResourceVersion},
		Spec:       object.Spec,
		Status:     status,
	}
	body, err := json.Marshal(applied)
	if err != nil {
		return err
	}
	patch := client.RawPatch(types.ApplyPatchType, body)
	return a.client.Status().Patch(ctx, object, patch, client.FieldOwner(fieldOwner), client.ForceOwnership)
}

func statusOf(object *VMSnapshot, dir string) Status {
	status := object.Status.deepCopy()
	status.ObservedGeneration = object.Generation
	set := func(kind string, is bool, yes, no, message string) {
		condition := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: yes, Message: message, ObservedGeneration: object.Generation}
		if !is {
			condition.Status, condition.Reason = metav1.ConditionFalse, no
		}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		set("Exists", false, "", "DirectoryAbsent", "there is no "+dir)
		set("Ready", false, "", "DirectoryAbsent", "there is no "+dir)
		status.Snapshot = nil
		return status
	}
	exists := snapshot.Exists(dir)
	found := &Snapshot{Path: dir, Template: snapshot.IsTemplate(dir), Format: "Full"}
	if snapshot.HasCow(dir) {
		found.Format = "Cow"
	}
	found.AllocatedBytes, found.ApparentBytes = sizes(dir)
	found.Size = fmt.Sprintf("%dKi", found.AllocatedBytes/1024)
	files, err := snapshot.DiffFiles(dir, false)
	for build, file := range files {
		row := DiffFile{BuildID: build, File: file, MappedBytes: "0"}
		if info, err := os.Stat(filepath.Join(dir, file)); err == nil {
			row.ApparentBytes = info.Size()
			row.AllocatedBytes = info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		found.DiffFiles = append(found.DiffFiles, row)
	}
	sort.Slice(found.DiffFiles, func(i, j int) bool { return found.DiffFiles[i].BuildID < found.DiffFiles[j].BuildID })
	status.Snapshot = found
	set("Exists", exists, "AllFilesPresent", "FilesMissing", dir)
	set("Ready", exists && err == nil, "Ready", "FilesMissing", dir)
	return status
}

func sizes(dir string) (allocated, apparent int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		allocated += info.Sys().(*syscall.Stat_t).Blocks * 512
		apparent += info.Size()
		return nil
	})
	return allocated, apparent
}

// watches wakes the object of a directory when something in it moves.
type watches struct {
	watcher *fsnotify.Watcher
	events  chan event.GenericEvent
	mutex   sync.Mutex
	objects map[string]types.NamespacedName
}

func (w *watches) add(dir string, name types.NamespacedName) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if _, known := w.objects[dir]; known {
		return
	}
	if err := w.watcher.Add(dir); err == nil {
		w.objects[dir] = name
	}
}

func (w *watches) remove(dir string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if _, known := w.objects[dir]; known {
		_ = w.watcher.Remove(dir)
		delete(w.objects, dir)
	}
}

func (w *watches) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case moved, ok := <-w.watcher.Events:
			if !ok {
				return errors.New("fsnotify ended")
			}
			w.wake(filepath.Dir(moved.Name))
			w.wake(moved.Name)
		case err := <-w.watcher.Errors:
			log.FromContext(ctx).Error(err, "fsnotify")
		}
	}
}

func (w *watches) wake(dir string) {
	w.mutex.Lock()
	name, known := w.objects[dir]
	w.mutex.Unlock()
	if known {
		w.events <- event.GenericEvent{Object: &VMSnapshot{ObjectMeta: metav1.ObjectMeta{Name: name.Name, Namespace: name.Namespace}}}
	}
}

func run(nodeName, baseDir string, rescan time.Duration) error {
	ctrl.SetLogger(zap.New())
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	// The default of 20 requests a second would be all that is measured.
	config.QPS = -1
	config.UserAgent = "bench-go-agent"
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(groupVersion, &VMSnapshot{}, &VMSnapshotList{})
	metav1.AddToGroupVersion(scheme, groupVersion)
	own := fields.OneTermEqualSelector("spec.nodeName", nodeName)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         map[client.Object]cache.ByObject{&VMSnapshot{}: {Field: own}},
		},
	})
	if err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := watcher.Add(baseDir); err != nil {
		return err
	}
	watches := &watches{watcher: watcher, events: make(chan event.GenericEvent, 1024), objects: map[string]types.NamespacedName{}}
	if err := manager.Add(watches); err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).
		For(&VMSnapshot{}).
		WatchesRawSource(source.Channel(watches.events, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(&agent{client: manager.GetClient(), baseDir: baseDir, rescan: rescan, watches: watches})
	if err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func main() {
	nodeName := flag.String("node-name", "", "")
	baseDir := flag.String("base-dir", "", "")
	rescan := flag.Duration("rescan-interval", 30*time.Second, "")
	flag.Parse()
	if err := run(*nodeName, strings.TrimSuffix(*baseDir, "/"), *rescan); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
