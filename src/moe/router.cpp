#include "moe/router.h"

#include "model/fresh_weight.h"

namespace rocket {
namespace {

at::Tensor top_right_singular_vector(const at::Tensor& a_RI, const at::Tensor& b_OR) {
  const auto [qa_IR, ra_RR] = at::linalg_qr(a_RI.t());
  const auto [qb_OR, rb_RR] = at::linalg_qr(b_OR);
  const at::Tensor vh_RR = std::get<2>(at::linalg_svd(at::mm(rb_RR, ra_RR.t()), /*full_matrices=*/false));
  const at::Tensor v_I = at::mv(qa_IR, vh_RR[0]);
  const at::Tensor largest = v_I.index_select(0, v_I.abs().argmax().reshape({1}));
  return v_I * at::sign(largest);
}

}  // namespace

at::Tensor linear_router(const MixtureModule& module, const std::string& name, std::uint64_t seed) {
  return fresh_weight(module.router_NI.size(0), module.router_NI.size(1), seed, "router " + name);
}

at::Tensor arrow_router(const MixtureModule& module) {
  std::vector<at::Tensor> rows;
  std::int64_t column = 0;
  for (const std::int64_t r : module.ranks) {
    rows.push_back(top_right_singular_vector(module.a_RI.narrow(0, column, r).to(at::kCPU, at::kDouble),
                                             module.b_OR.narrow(1, column, r).to(at::kCPU, at::kDouble)));
    column += r;
  }
  return at::stack(rows).to(at::kFloat);
}

}  // namespace rocket
