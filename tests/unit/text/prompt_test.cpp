#include "text/prompt.h"

#include "unit/base/scratch.h"

namespace rocket {
namespace {

using ::rocket::testing::expect_error;

TEST(PromptTest, AlpacaIsTheInterfaceByteForByte) {
  const PromptTemplate alpaca = named_template("alpaca");
  EXPECT_EQ(
      alpaca.render("Do it.", "With this."),
      "Below is an instruction that describes a task, paired with an input that provides further context. "
      "Write "
      "a response that appropriately completes the request.\n\n### Instruction:\nDo it.\n\n### Input:\nWith "
      "this.\n\n### Response:\n");
  EXPECT_EQ(
      alpaca.render("Do it.", ""),
      "Below is an instruction that describes a task. Write a response that appropriately completes the "
      "request.\n\n### Instruction:\nDo it.\n\n### Response:\n");
}

TEST(PromptTest, TheOthersAreTheInterfaceByteForByte) {
  EXPECT_EQ(named_template("llama2").render("a", "b"), "[INST] a\nb [/INST] ");
  EXPECT_EQ(named_template("llama2").render("a", ""), "[INST] a [/INST] ");
  EXPECT_EQ(named_template("chatml").render("a", "b"),
            "<|im_start|>user\na\nb<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(named_template("chatml").render("a", ""),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(named_template("plain").render("a", "b"), "a\nb\n");
  EXPECT_EQ(named_template("plain").render("a", ""), "a\n");
}

TEST(PromptTest, SubstitutesOnceAndStripsNothing) {
  const PromptTemplate plain = named_template("plain");
  EXPECT_EQ(plain.render("{input} {instruction}", "{instruction}"), "{input} {instruction}\n{instruction}\n");
  EXPECT_EQ(plain.render(" a\n", " "), " a\n\n \n");
  EXPECT_EQ(plain.render("", ""), "\n");
}

TEST(PromptTest, OtherBracesStay) {
  const PromptTemplate own{"{{instruction}} {input}{input} {x} {", "{instruction"};
  EXPECT_EQ(own.render("A", "B"), "{A} BB {x} {");
  EXPECT_EQ(own.render("A", ""), "{instruction");
}

TEST(PromptTest, ListsTheKnownNames) {
  expect_error([] { named_template("vicuna"); }, ExitCode::config,
               {"alpaca, llama2, chatml, plain, chat", "'vicuna'"});
}

}  // namespace
}  // namespace rocket
