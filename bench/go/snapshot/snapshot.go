// Package snapshot asks of a snapshot directory what a Go program would ask with the standard library: is it complete, does it have a CoW root
// file system, is it a template, which diff files does its header name, how much does it take.
package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func isThere(parts ...string) bool {
	_, err := os.Stat(filepath.Join(parts...))
	return err == nil
}

// Exists reports whether all required files are there, by name.
func Exists(dir string) bool {
	if !isThere(dir, "snapfile") || !isThere(dir, "memfile.header") {
		return false
	}
	if !isThere(dir, "memfile") {
		found := false
		matches, _ := filepath.Glob(filepath.Join(dir, "memfile.*"))
		for _, match := range matches {
			found = found || filepath.Base(match) != "memfile.header"
		}
		if !found {
			return false
		}
	}
	return IsTemplate(dir) || HasCow(dir)
}

// As google/uuid's String: one allocation.
func text(id []byte) string {
	var buf [36]byte
	hex.Encode(buf[:], id[:4])
	buf[8] = '-'
	hex.Encode(buf[9:13], id[4:6])
	buf[13] = '-'
	hex.Encode(buf[14:18], id[6:8])
	buf[18] = '-'
	hex.Encode(buf[19:23], id[8:10])
	buf[23] = '-'
	hex.Encode(buf[24:], id[10:])
	return string(buf[:])
}

type mapping struct {
	Offset        uint64
	Length        uint64
	Build         [16]byte
	StorageOffset uint64
}

type metadata struct {
	Version, BlockSize, Size, Generation uint64
	Build, BaseBuild                     [16]byte
}

// The mappings of the header as the public reader of this format decodes them (e2b-dev/infra, packages/shared/pkg/storage/header): encoding/binary
// by reflection, one value a mapping. With tuned, as one would by hand: straight from the bytes, and nothing but the build.
func mappings(data []byte, tuned bool) ([]mapping, error) {
	if len(data) < 64 || (len(data)-64)%40 != 0 || binary.LittleEndian.Uint64(data[8:]) == 0 {
		return nil, fmt.Errorf("header of %d bytes", len(data))
	}
	var found []mapping
	if tuned {
		for at := 64; at < len(data); at += 40 {
			found = append(found, mapping{Build: [16]byte(data[at+16 : at+32])})
		}
		return found, nil
	}
	reader := bytes.NewReader(data)
	var head metadata
	if err := binary.Read(reader, binary.LittleEndian, &head); err != nil {
		return nil, err
	}
	for {
		var next mapping
		err := binary.Read(reader, binary.LittleEndian, &next)
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, next)
	}
}

// DiffFiles are the files that hold the memory, by build. With tuned the header is decoded by hand, and nothing but the builds of it.
func DiffFiles(dir string, tuned bool) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "memfile.header"))
	if err != nil {
		return nil, err
	}
	found, err := mappings(data, tuned)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, mapping := range found {
		id := text(mapping.Build[:])
		if _, known := files[id]; known || id == "00000000-0000-0000-0000-000000000000" {
			continue
		}
		if isThere(dir, "memfile."+id) {
			files[id] = "memfile." + id
		} else if isThere(dir, "memfile") {
			files[id] = "memfile"
		} else {
			return nil, fmt.Errorf("diff file not found for build %s", id)
		}
	}
	return files, nil
}

// Allocated is the disk usage of all files below: blocks times 512.
func Allocated(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	return total, err
}

// IsTemplate reports whether there is a whole root file system.
func IsTemplate(dir string) bool {
	return isThere(dir, "rootfs.ext4")
}

// HasCow reports whether there is a root file system as changes over another one.
func HasCow(dir string) bool {
	return isThere(dir, "rootfs.cow") && isThere(dir, "rootfs.meta")
}
