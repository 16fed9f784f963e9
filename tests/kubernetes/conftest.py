"""Each test here has the administrator's access to a namespace of its own on the real API server."""

from .real_server import access as access
from .real_server import client as client
