"""The name of the service and its version."""

VERSION = "0.1.0"
#: the Server header: versions are for those who run it
SERVER = "resizer"
