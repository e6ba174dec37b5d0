// Operators compute on the thread that calls them: most are too small to share, and their sums have one
// order.
#pragma once

namespace rocket::emulated {

/// While it lives, neither OpenMP nor the matrix library takes another thread for this one's work.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_, of_matrix_library_ = 0;
};

}  // namespace rocket::emulated
