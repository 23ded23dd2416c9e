"""Which of torch's attention kernels run on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Attention by any kernel but cuDNN's, which torch 2.13 takes first on an H100 in bf16.

    cuDNN plans anew for every shape, on the host and slower than the kernel runs; while captions
    are searched, nearly every token brings a new shape. And with a mask its backward pass can give
    NaN where length % 128 is 64 (pytorch issue 196678).
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
