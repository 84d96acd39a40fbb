"""Runs LocalStack with two changes that it has no setting for.

1. It listens on the loopback interface only. LocalStack ignores the host in GATEWAY_LISTEN and listens on every
   interface, which would open it to the network.
2. It keeps S3 objects in this server's temporary directory. LocalStack shares one directory among all processes
   and users, and a killed process leaves it behind.
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
