// Answers of the sandbox manager's own package, one JSON object a line, for the directories named on standard input (base directory, tab, name).
// The package itself is not part of this project: the test puts its source beside this file, in a temporary directory.
package snapshot

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

// Mapping and Header are what the package reads of a decoded header.
type Mapping struct{ BuildID uuid.UUID }
type Header struct{ Mapping []Mapping }

func decode(data []byte) (*Header, string) {
	if len(data) < 64 {
		return nil, "short"
	}
	block, size := binary.LittleEndian.Uint64(data[8:]), binary.LittleEndian.Uint64(data[16:])
	rest := data[64:]
	switch {
	case len(rest)%40 != 0:
		return nil, "partialMapping"
	case block == 0:
		return nil, "zeroBlockSize"
	case size/block > 1<<32:
		return nil, "tooManyBlocks"
	}
	header := &Header{}
	if len(rest) == 0 {
		header.Mapping = append(header.Mapping, Mapping{uuid.UUID(data[32:48])})
	}
	for ; len(rest) > 0; rest = rest[40:] {
		header.Mapping = append(header.Mapping, Mapping{uuid.UUID(rest[16:32])})
	}
	return header, ""
}

func errno(err error) string {
	var number syscall.Errno
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &number):
		for name, code := range map[string]syscall.Errno{"ENOENT": syscall.ENOENT, "EISDIR": syscall.EISDIR, "ENOTDIR": syscall.ENOTDIR, "EACCES": syscall.EACCES, "ENXIO": syscall.ENXIO} {
			if code == number {
				return name
			}
		}
		return number.Error()
	case errors.As(err, &kind):
		return "type"
	case errors.As(err, &syntax):
		return "syntax"
	}
	return "syntax"
}

func answer(base, name string) map[string]any {
	found := map[string]any{"exists": Exists(base, name), "isTemplate": IsTemplate(base, name), "isSnapshot": IsSnapshot(base, name), "hasCow": HasCow(base, name)}
	if size, err := DirSize(base, name); err != nil {
		found["sizeError"] = errno(err)
	} else {
		found["size"] = size
	}
	if meta, err := ReadMeta(base, name); err != nil {
		found["metaError"] = errno(err)
	} else {
		found["meta"] = base64.StdEncoding.EncodeToString([]byte(meta.BaseTemplate))
	}
	data, err := os.ReadFile(MemHeaderPath(base, name))
	if err != nil {
		found["headerError"] = errno(err)
		return found
	}
	header, kind := decode(data)
	if kind != "" {
		found["headerError"] = kind
		return found
	}
	files, err := ListDiffFiles(base, name, header)
	if err != nil {
		found["diffError"] = err.Error()
		return found
	}
	relative := map[string]string{}
	for id, path := range files {
		relative[id], _ = filepath.Rel(DirPath(base, name), path)
	}
	found["diffFiles"] = relative
	return found
}

// Answer reads and writes until the input ends.
func Answer(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		base, name, _ := strings.Cut(lines.Text(), "\t")
		line, _ := json.Marshal(answer(base, name))
		fmt.Fprintf(out, "%s\n", line)
	}
}
