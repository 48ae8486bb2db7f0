// Runs cAdvisor's OOM parser over dmesg text and counts what it reports.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/euank/go-kmsg-parser/kmsgparser"
	"github.com/google/cadvisor/utils/oomparser"
	"k8s.io/klog/v2"
)

// dmesgFile hands out the lines of a file as kernel messages, without the leading "[seconds] ".
type dmesgFile struct{ file *os.File }

func (dmesgFile) SeekEnd() error                { return nil }
func (dmesgFile) SetLogger(kmsgparser.Logger)   {}
func (d dmesgFile) Close() error                { return d.file.Close() }
func (d dmesgFile) Parse() <-chan kmsgparser.Message {
	messages := make(chan kmsgparser.Message)
	go func() {
		defer close(messages)
		lines := bufio.NewReaderSize(d.file, 1<<20)
		for {
			line, err := lines.ReadString('\n')
			if text := strings.TrimSuffix(line, "\n"); text != "" {
				if at := strings.Index(text, "] "); at >= 0 {
					text = text[at+2:]
				}
				messages <- kmsgparser.Message{Message: text}
			}
			if err != nil {
				return
			}
		}
	}()
	return messages
}

func main() {
	// Its loop logs an error when the source ends, which for a file is no error.
	flags := flag.NewFlagSet("klog", flag.ExitOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)

	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	found := make(chan *oomparser.OomInstance)
	go func() {
		oomparser.NewFrom(dmesgFile{file}).StreamOoms(found)
		close(found)
	}()
	events := 0
	for range found {
		events++
	}
	fmt.Printf("{\"events\": %d}\n", events)
}
