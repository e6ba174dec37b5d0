#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/upload.h"

namespace rocket {

/// All sequences in a few launches, each sum in the order of its rows.
at::Tensor CudaBackend::mean_rows(const at::Tensor& x_TD, const PackedRows& rows) const {
  std::vector<std::int64_t> lengths;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) lengths.push_back(rows.length(s));
  return at::segment_reduce(x_TD.to(at::kFloat), "mean", upload(lengths, x_TD.device()), /*indices=*/{},
                            /*offsets=*/{}, /*axis=*/0, /*unsafe=*/true);  // else the host reads the lengths
}

}  // namespace rocket
