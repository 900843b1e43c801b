"""The client of a lab's kernel, which must not miss an answer."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import zmq.asyncio
from jupyter_client.session import Session

from peftlab.notebooks.kernels import KernelManager


async def answered(kind):
    """Whether an answer is heard that comes just before the channel sends something else."""
    session = Session(key=b"a key")
    with zmq.asyncio.Context() as context:
        kernel = zmq.Context(context).socket(zmq.ROUTER)
        ours = context.socket(zmq.DEALER)
        ours.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
        channel = kind(ours, session)
        channel.send(session.msg("execute_request"))
        waiting = asyncio.ensure_future(channel.get_msg(timeout=None))  # as nbclient waits
        await asyncio.sleep(0.3)
        client, *_ = kernel.recv_multipart()
        session.send(kernel, session.msg("execute_reply"), ident=client)
        time.sleep(0.3)  # the answer is here, and the loop has not looked yet
        channel.send(session.msg("comm_msg"))
        done, _ = await asyncio.wait([waiting], timeout=1)
        waiting.cancel()
        for socket in (kernel, ours):
            socket.close(linger=0)
    return bool(done)


def test_an_answer_that_comes_while_something_is_sent_is_heard():
    channel = KernelManager().client_factory().shell_channel_class
    with ThreadPoolExecutor(1) as pool:  # a loop of its own: a browser test may have left one here
        assert pool.submit(asyncio.run, answered(channel)).result()
