"""Puts every line of a log through oom-messages-exporter's line handler, and counts the kills it recognises."""

import json
import logging
import sys

logging.disable(logging.CRITICAL)  # It logs several lines a kill, which would be measured too.

from oom_messages_exporter.exporter import Exporter  # noqa: E402

log = sys.argv[1]
handle = Exporter(log=log)._Exporter__process_data
with open(log, encoding="utf-8", errors="replace") as lines:
    print(json.dumps({"events": sum(handle(line) == "has oom" for line in lines)}))
