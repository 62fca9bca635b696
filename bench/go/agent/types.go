package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var groupVersion = schema.GroupVersion{Group: "vmsnapshot.io", Version: "v1alpha1"}

type VMSnapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec   `json:"spec"`
	Status            Status `json:"status,omitempty"`
}

type VMSnapshotList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VMSnapshot `json:"items"`
}

type Spec struct {
	NodeName     string `json:"nodeName"`
	SnapshotName string `json:"snapshotName"`
}

type Status struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Snapshot           *Snapshot          `json:"snapshot,omitempty"`
}

type Snapshot struct {
	Path           string     `json:"path"`
	Format         string     `json:"format,omitempty"`
	Template       bool       `json:"template"`
	AllocatedBytes int64      `json:"allocatedBytes"`
	ApparentBytes  int64      `json:"apparentBytes"`
	Size           string     `json:"size"`
	DiffFiles      []DiffFile `json:"diffFiles,omitempty"`
}

type DiffFile struct {
	BuildID        string `json:"buildID"`
	File           string `json:"file"`
	AllocatedBytes int64  `json:"allocatedBytes"`
	ApparentBytes  int64  `json:"apparentBytes"`
	MappedBytes    string `json:"mappedBytes"`
}

func (in *VMSnapshot) DeepCopyObject() runtime.Object {
	out := *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Status = in.Status.deepCopy()
	return &out
}

func (in *VMSnapshotList) DeepCopyObject() runtime.Object {
	out := *in
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]VMSnapshot, len(in.Items))
	for i := range in.Items {
		out.Items[i] = *in.Items[i].DeepCopyObject().(*VMSnapshot)
	}
	return &out
}

func (in Status) deepCopy() Status {
	out := in
	out.Conditions = append([]metav1.Condition(nil), in.Conditions...)
	if in.Snapshot != nil {
		snapshot := *in.Snapshot
		snapshot.DiffFiles = append([]DiffFile(nil), in.Snapshot.DiffFiles...)
		out.Snapshot = &snapshot
	}
	return out
}
