// The system calls that a sandboxed program is denied, as a seccomp filter for bwrap --seccomp.
#pragma once

#include <string>

namespace rocket {

/// Bytes of a classic BPF program for this machine's architecture: no new processes (threads are allowed), no
/// sockets, no namespaces, no tracing. Denied calls return EPERM.
const std::string& syscall_filter();

}  // namespace rocket
