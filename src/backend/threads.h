// Work on the threads of this rank: LibTorch's own, so that what LibTorch does inside stays on one thread.
#pragma once

#include <cstdint>
#include <functional>

namespace rocket {

/// Threads that a call of on_threads() from here would use.
std::int64_t threads_here();

/// Calls work(0) .. work(count - 1), as many at once as there are threads, in any order. What `work` throws
/// is thrown here.
void on_threads(std::int64_t count, const std::function<void(std::int64_t)>& work);

/// How long the pieces of `count` should be, the last one apart: at most about `most`, a multiple of `unit`,
/// and so many that every thread has as many.
std::int64_t even_step(std::int64_t count, std::int64_t most, std::int64_t unit);

/// Calls work(first, count) for pieces of even_step(count, most, unit), on_threads().
void on_even_pieces(std::int64_t count, std::int64_t most, std::int64_t unit,
                    const std::function<void(std::int64_t, std::int64_t)>& work);

/// Calls work(begin, end) for bands that cover `rows` of `width` elements: several where there is enough to
/// do.
void on_row_bands(std::int64_t rows, std::int64_t width,
                  const std::function<void(std::int64_t, std::int64_t)>& work);

/// While it lives, the matrix library computes in the calling thread alone: with several threads it cuts a
/// product into pieces, and small pieces are summed in another order than large ones.
class SerialMatrixLibrary {
 public:
  SerialMatrixLibrary();
  ~SerialMatrixLibrary();
  SerialMatrixLibrary(const SerialMatrixLibrary&) = delete;
  SerialMatrixLibrary& operator=(const SerialMatrixLibrary&) = delete;

 private:
  int before_ = 0;
};

}  // namespace rocket
