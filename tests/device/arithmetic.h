// Whether operators compute. Without arithmetic they give tensors of the right sizes whose memory is counted
// and never touched: shapes of models that no machine of ours holds cost neither time nor memory.
#pragma once

namespace rocket::emulated {

bool arithmetic_is_skipped();

/// While it lives, nothing is computed: values are what memory happens to hold, and the host reads zeros.
/// Copies from the host and small operators without a rule for sizes work as ever.
class WithoutArithmetic {
 public:
  WithoutArithmetic();
  ~WithoutArithmetic();
  WithoutArithmetic(const WithoutArithmetic&) = delete;
  WithoutArithmetic& operator=(const WithoutArithmetic&) = delete;
};

}  // namespace rocket::emulated
