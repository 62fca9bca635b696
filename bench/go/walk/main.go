// Walks a base directory and asks of each snapshot directory what a Go program would ask. One line of JSON a directory.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"vmsnapshot.io/bench/snapshot"
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
		found := row{Name: entry.Name(), Exists: snapshot.Exists(dir)}
		found.Template = snapshot.IsTemplate(dir)
		found.Cow = snapshot.HasCow(dir)
		found.Allocated, _ = snapshot.Allocated(dir)
		if files, err := snapshot.DiffFiles(dir, tuned); err != nil {
			found.Error = err.Error()
		} else {
			found.DiffFiles = files
		}
		_ = encoder.Encode(found)
	}
}
