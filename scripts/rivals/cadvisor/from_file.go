package oomparser

import "github.com/euank/go-kmsg-parser/kmsgparser"

// NewFrom reads from another source of messages than /dev/kmsg.
func NewFrom(parser kmsgparser.Parser) *OomParser {
	return &OomParser{parser: parser}
}
