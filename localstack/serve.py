"""Runs LocalStack, with two things changed for which it has no setting.

It takes the port from GATEWAY_LISTEN but not the host, and listens on every interface: on a shared network anybody
could use it. And it keeps S3 objects in one directory for all its processes and users, which a killed one leaves behind.
"""

import functools
import os
import runpy
import tempfile

from localstack.services.s3 import provider
from twisted.internet import endpoints

endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
provider.DEFAULT_S3_TMP_DIR = os.path.join(tempfile.gettempdir(), "s3")
runpy.run_module("localstack.runtime.main", run_name="__main__", alter_sys=True)
