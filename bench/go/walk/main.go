// Walks a base directory and asks of each snapshot directory what a Go program would ask with the standard library: is it complete, does it have
// a CoW root file system, is it a template, which diff files does its header name, how much does it take. One line of JSON a directory.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

type row struct {
	Name      string            `json:"name"`
	Exists    bool              `json:"exists"`
	Template  bool              `json:"template"`
	Cow       bool              `json:"cow"`
	Allocated int64             `json:"allocatedBytes"`
	DiffFiles map[string]string `json:"diffFiles,omitempty"`
	Error     string            `json:"diffError,omitempty"`
}

func isThere(parts ...string) bool {
	_, err := os.Stat(filepath.Join(parts...))
	return err == nil
}

func complete(dir string) bool {
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
	return isThere(dir, "rootfs.ext4") || isThere(dir, "rootfs.cow") && isThere(dir, "rootfs.meta")
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

func diffFiles(dir string, tuned bool) (map[string]string, error) {
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

func allocated(dir string) (int64, error) {
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

func main() {
	base := os.Args[1]
	tuned := len(os.Args) > 2 && os.Args[2] == "tuned"
	entries, err := os.ReadDir(base)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := bufio.NewWriterSize(os.Stdout, 65536)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	for _, entry := range entries {
		dir := filepath.Join(base, entry.Name())
		found := row{Name: entry.Name(), Exists: complete(dir), Template: isThere(dir, "rootfs.ext4")}
		found.Cow = isThere(dir, "rootfs.cow") && isThere(dir, "rootfs.meta")
		found.Allocated, _ = allocated(dir)
		if files, err := diffFiles(dir, tuned); err != nil {
			found.Error = err.Error()
		} else {
			found.DiffFiles = files
		}
		_ = encoder.Encode(found)
	}
}
