#include "model/finite.h"

#include <gmock/gmock.h>

#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "formats/tensors.h"
#include "model/decoder.h"
#include "model/device.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;
using ::rocket::testing::Scratch;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "";
}

TEST(RequireFinite, NamesValueAndPlace) {
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble}) {
    at::Tensor values = at::ones({3, 5, 7}, type);
    EXPECT_EQ(refusal([&] { require_finite(values, "w"); }), "") << type;
    values[2][4][6] = -kInf;
    EXPECT_EQ(refusal([&] { require_finite(values, "w"); }),
              "tensor 'w': holds a value that is not finite (-inf at [2, 4, 6])")
        << type;
    values[1][0][3] = std::nan("");
    EXPECT_THAT(refusal([&] { require_finite(values, "w"); }), HasSubstr("nan at [1, 0, 3]")) << type;
  }
  EXPECT_EQ(refusal([] { require_finite(at::empty({0}), "w"); }), "");
}

/// The lab's base with one value of one tensor changed.
class BrokenBase : public ::testing::Test {
 protected:
  std::string refusal_with(const std::string& name, double value, at::Device device,
                           at::ScalarType compute = at::kFloat) {
    const fs::path base = scratch_ / "base";
    fs::remove_all(base);
    fs::copy("tests/lab/base", base);
    const SafeTensors whole("tests/lab/base/model.safetensors");
    std::vector<at::Tensor> copies;
    std::vector<StoredTensor> stored;
    for (const StoredTensor& tensor : whole.tensors()) {
      copies.push_back(as_tensor(tensor).clone());
      if (tensor.name == name) copies.back().view({-1})[5] = value;
      stored.push_back(as_stored(tensor.name, copies.back()));
    }
    write_safetensors(base / "model.safetensors", stored);
    return refusal([&] { Decoder::load(base, compute, device); });
  }
  Scratch scratch_;
};

TEST_F(BrokenBase, FileAndTensorAreNamed) {
  const std::string norm = "model.layers.2.input_layernorm.weight",
                    wide = "model.layers.3.mlp.down_proj.weight", embedding = "model.embed_tokens.weight";
  EXPECT_EQ(refusal_with(norm, 1, at::kCPU), "");
  for (const std::string& name : {norm, wide, embedding}) {
    EXPECT_THAT(refusal_with(name, std::nan(""), at::kCPU),
                AllOf(HasSubstr("base/model.safetensors: tensor '" + name), HasSubstr("(nan at [")));
    EXPECT_THAT(refusal_with(name, kInf, at::kMeta), HasSubstr("(inf at [")) << "as `rocket check` loads it";
  }
}

TEST_F(BrokenBase, AValueThatTheTypeCannotHoldIsNamed) {
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  EXPECT_EQ(refusal_with(name, 3.4e38, at::kCPU), "");
  EXPECT_THAT(refusal_with(name, 3.4e38, at::kCPU, at::kBFloat16), HasSubstr("tensor '" + name));
}

}  // namespace
}  // namespace rocket
