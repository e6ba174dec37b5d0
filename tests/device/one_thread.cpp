#include "device/one_thread.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <omp.h>

namespace rocket::emulated {
namespace {

/// MKL's own switch for this thread; null in a LibTorch with another matrix library.
int (*const set_matrix_threads)(int) = reinterpret_cast<int (*)(int)>(dlsym(RTLD_DEFAULT,
                                                                            "MKL_Set_Num_Threads_Local"));

}  // namespace

OneThread::OneThread() {
  at::get_num_threads();  // LibTorch sets up a thread at its first question, and would undo what follows
  threads_ = omp_get_max_threads();
  omp_set_num_threads(1);
  if (set_matrix_threads != nullptr) of_matrix_library_ = set_matrix_threads(1);
}

OneThread::~OneThread() {
  if (set_matrix_threads != nullptr) set_matrix_threads(of_matrix_library_);
  omp_set_num_threads(threads_);
}

}  // namespace rocket::emulated
