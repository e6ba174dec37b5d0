// The commit of the sources. It lies in a shared library of its own, librocket_commit.so: after a commit that
// one small file is compiled and nothing else is linked again. tools/cmake/commit.cmake writes it from
// commit.cpp.in.
#pragma once

namespace rocket {

struct SourceCommit {
  const char* hash;  // 40 hexadecimal digits; empty: not known
  bool dirty;        // tracked files differ from the commit
  bool released;     // the commit has the tag v<version>, and nothing differs from it
};
SourceCommit source_commit();

}  // namespace rocket
