// Banks of more rows than one group has, of every type, against delta W formed in float64.
#include "adapters/stack.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "adapters/similarity.h"
#include "unit/adapters/support.h"

namespace rocket {
namespace {

// More inputs than the kernel takes in one pass.
const std::vector<Module> kWide = {{"model.layers.0.self_attn.q_proj", 300, 170},
                                   {"model.layers.0.self_attn.v_proj", 131, 40}};

class StackTest : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(7); }
  void TearDown() override { at::set_num_threads(1); }

  void write(std::int64_t number, std::int64_t lora_r, at::ScalarType dtype, double alpha) const {
    test::NamedTensors tensors;
    for (std::size_t m = 0; m < kWide.size(); ++m) {
      if (number % 5 == 4 && m == 1) continue;  // not adapted there
      test::add_pair(tensors, kWide[m], lora_r);
    }
    for (auto& [name, tensor] : tensors) tensor = (tensor + 0.3).to(dtype);
    test::write_peft(folder.path() / fmt::format("{:03}", number), tensors,
                     {{"r", lora_r}, {"lora_alpha", alpha}});
  }
  Bank bank() const { return Bank(list_bank({folder.path()}, {}), kWide, at::kFloat, at::kCPU, 1); }
  std::vector<LoraFile> files() const {
    std::vector<LoraFile> files;
    for (const BankEntry& entry : list_bank({folder.path()}, {})) files.emplace_back(entry.folder, kWide);
    return files;
  }

  /// [n, n] of a function of two adapters' weights of a module.
  template <class F>
  static at::Tensor of_pairs(const std::vector<LoraFile>& files, std::int64_t module, F&& rows_of) {
    std::vector<at::Tensor> rows;
    for (const LoraFile& file : files) {
      if (file.find(module) == nullptr) continue;
      rows.push_back(rows_of(file.read(*file.find(module), at::kDouble, at::kCPU)).reshape({-1}));
    }
    const at::Tensor all = at::stack(rows);
    return at::mm(all, all.t());
  }
  /// Largest difference of the upper triangle, relative to the rows' lengths.
  static double worst(const std::vector<double>& product, const at::Tensor& expected) {
    const std::int64_t n = expected.size(0);
    EXPECT_EQ(product.size(), static_cast<std::size_t>(n * n));
    const at::Tensor found = at::from_blob(const_cast<double*>(product.data()), {n, n}, at::kDouble);
    const at::Tensor sizes = expected.diagonal().sqrt();
    return ((found - expected) / at::outer(sizes, sizes)).triu().abs().max().item<double>();
  }
  double worst_delta() const {
    const std::vector<LoraFile> all = files();
    double result = 0;
    for (std::int64_t m = 0; m < 2; ++m) {
      const Stack stack = stack_module(all, m, StackRows::ranks, at::kCPU);
      result = std::max(result, worst(delta_products(stack), of_pairs(all, m, test::delta_w)));
    }
    return result;
  }

  test::TemporaryFolder folder;
};

TEST_F(StackTest, ProductsOfManyRanksOverManyGroups) {
  for (std::int64_t i = 0; i < 60; ++i)
    write(i, i == 31 ? 450 : 1 + i * 7 % 40, at::kFloat, i % 3 == 0 ? -8 : 16);
  EXPECT_GT(stack_module(files(), 0, StackRows::ranks, at::kCPU).groups.size(), 3U);
  EXPECT_LT(worst_delta(), 2e-13);
}

TEST_F(StackTest, EveryStoredTypeIsExact) {
  write(0, 8, at::kFloat, 16);
  write(1, 8, at::kBFloat16, 16);
  write(2, 8, at::kHalf, 16);
  EXPECT_EQ(stack_module(files(), 0, StackRows::ranks, at::kCPU).a.scalar_type(), at::kFloat);
  EXPECT_LT(worst_delta(), 2e-13);
  write(3, 8, at::kDouble, 16);
  EXPECT_EQ(stack_module(files(), 0, StackRows::ranks, at::kCPU).a.scalar_type(), at::kDouble);
  EXPECT_LT(worst_delta(), 2e-13);
}

TEST_F(StackTest, FactorsOfMoreAdaptersThanAGroup) {
  for (std::int64_t i = 0; i < 101; ++i) write(i, 4, at::kFloat, 16);
  const std::vector<LoraFile> all = files();
  const Stack stack = stack_module(all, 0, StackRows::flattened, at::kCPU);
  EXPECT_GT(stack.groups.size(), 2U);
  EXPECT_LT(
      worst(factor_products(stack, stack.a), of_pairs(all, 0, [](const LoraWeight& w) { return w.a_RI; })),
      1e-14);
  EXPECT_LT(
      worst(factor_products(stack, stack.b), of_pairs(all, 0, [](const LoraWeight& w) { return w.b_OR; })),
      1e-14);
}

TEST_F(StackTest, ThreadsDoNotChangeABit) {
  for (std::int64_t i = 0; i < 50; ++i) write(i, 20, at::kFloat, 16);
  const auto with = [&](int threads) {
    at::set_num_threads(threads);
    return similarity_matrix(bank(), SimilarityKind::delta_w);
  };
  const std::vector<double> alone = with(1);
  EXPECT_EQ(with(2), alone);
  EXPECT_EQ(with(3), alone);
}

TEST_F(StackTest, AValueThatIsNotFiniteIsRefusedFromEveryThread) {
  write(0, 2, at::kFloat, 16);
  test::NamedTensors tensors;
  test::add_pair(tensors, kWide[0], 2);
  tensors[1].second[0][1] = std::numeric_limits<double>::quiet_NaN();
  test::write_peft(folder.path() / "bad", tensors);
  at::set_num_threads(2);
  const auto [code, message] = test::error_of([&] { similarity_matrix(bank(), SimilarityKind::delta_w); });
  EXPECT_EQ(code, ExitCode::data);
  EXPECT_NE(message.find("adapter 'bad'"), std::string::npos) << message;
}

}  // namespace
}  // namespace rocket
