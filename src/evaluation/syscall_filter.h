// The system calls that a sandboxed program may use, as a seccomp filter.
#pragma once

#include <string>

namespace rocket {

/// Bytes of a classic BPF program for this machine's architecture, made by libseccomp. It names what a Python
/// program needs to compute and to use files; all else fails with ENOSYS, as on a kernel without it, so that
/// libraries fall back. Closed are new processes (threads are allowed), signals to any process, sockets other
/// than a connected pair, tracing, namespaces, System V's shared memory and queues, io_uring, hard links and
/// truncation by path. Changes of mode, owner and times succeed without effect. Throws internal (70) if
/// libseccomp fails.
const std::string& syscall_filter();

}  // namespace rocket
