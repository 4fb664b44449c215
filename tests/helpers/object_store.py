"""An S3 server of its own."""

import os
from urllib.request import Request, urlopen

import pytest
from upath import UPath


@pytest.fixture(scope="module")
def bucket():
    """Address of an empty bucket; found, as in a cluster, through the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    found = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in found}
    os.environ.update(found)
    UPath("s3://species").fs.mkdir("species")
    yield "s3://species"
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    UPath("s3://species").fs.clear_instance_cache()  # the next server has another port
    urlopen(
        Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    ).close()  # servers of a process share buckets
    server.stop()
