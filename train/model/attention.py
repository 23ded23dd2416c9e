"""Which of torch's attention kernels run on a GPU."""

import torch


def do_without_cudnn_attention() -> None:
    """Attention by any kernel but cuDNN's, for the whole process.

    torch 2.13 takes cuDNN's first on an H100 in bf16. It plans anew for every shape, on the host
    and slower than the kernel runs; while captions are searched, nearly every token brings a new
    shape. And with a mask its backward pass can give NaN where length % 128 is 64 (pytorch issue
    196678).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
