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
	NodeName       string `json:"nodeName"`
	SnapshotName   string `json:"snapshotName"`
	DeletionPolicy string `json:"deletionPolicy,omitempty"`
}

type Status struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	StorageID          string             `json:"storageID,omitempty"`
	Removal            *Removal           `json:"removal,omitempty"`
	Snapshot           *Snapshot          `json:"snapshot,omitempty"`
}

type Removal struct {
	Token        string      `json:"token"`
	Inode        string      `json:"inode,omitempty"`
	BornAt       string      `json:"bornAt,omitempty"`
	StartedAt    metav1.Time `json:"startedAt"`
	BytesRemoved int64       `json:"bytesRemoved"`
}

type Snapshot struct {
	Path           string     `json:"path"`
	Format         string     `json:"format,omitempty"`
	Template       bool       `json:"template,omitempty"`
	AllocatedBytes int64      `json:"allocatedBytes"`
	ApparentBytes  int64      `json:"apparentBytes"`
	Size           string     `json:"size"`
	Memory         *Memory    `json:"memory,omitempty"`
	DiffFiles      []DiffFile `json:"diffFiles,omitempty"`
	DiffFileCount  int64      `json:"diffFileCount,omitempty"`
	Rootfs         *Rootfs    `json:"rootfs,omitempty"`
	VMState        *VMState   `json:"vmState,omitempty"`
	Missing        []string   `json:"missing,omitempty"`
	Unreferenced   []string   `json:"unreferenced,omitempty"`
}

type Memory struct {
	Version        string `json:"version"`
	Generation     string `json:"generation"`
	BuildID        string `json:"buildID"`
	BaseBuildID    string `json:"baseBuildID"`
	BlockSizeBytes string `json:"blockSizeBytes"`
	SizeBytes      string `json:"sizeBytes"`
	Mappings       int64  `json:"mappings"`
	ZeroBytes      string `json:"zeroBytes"`
}

type DiffFile struct {
	BuildID        string `json:"buildID"`
	File           string `json:"file"`
	AllocatedBytes int64  `json:"allocatedBytes"`
	ApparentBytes  int64  `json:"apparentBytes"`
	MappedBytes    string `json:"mappedBytes"`
}

type Rootfs struct {
	BaseTemplate        string `json:"baseTemplate"`
	BaseTemplatePresent *bool  `json:"baseTemplatePresent,omitempty"`
}

type VMState struct {
	VMM          string `json:"vmm"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	Checksum     string `json:"checksum"`
}

// DeepCopyObject shares what lies below: an informer copies nothing, and nobody here changes anything.
func (in *VMSnapshot) DeepCopyObject() runtime.Object {
	out := *in
	return &out
}

func (in *VMSnapshotList) DeepCopyObject() runtime.Object {
	out := *in
	return &out
}
