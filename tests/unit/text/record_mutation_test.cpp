// The fuzz target of the records on mutated seeds: nothing but records or an Error about the file may come
// out.
#include "base/files.h"
#include "fuzz/mutate.h"
#include "fuzz/text_targets.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

TEST(RecordMutationTest, Records) {
  std::vector<std::string> seeds;
  for (const char* name : {"records.jsonl", "records_crlf.jsonl", "records_array.json", "records.jsonl.gz"})
    seeds.push_back(read_file(std::string("tests/data/formats/") + name));
  seeds.push_back(R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},)"
                  R"({"role":"assistant","content":"a"}]})"
                  "\n"
                  R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})");
  seeds.push_back(
      R"({"system":"s","history":[["a","b"],["c","d"]],"instruction":"q","output":"a"})"
      "\n"
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},)"
      R"({"role":"assistant","content":"a","weight":0,"train":true},{"role":"user","content":"r"},)"
      R"({"role":"assistant","content":"b","loss":true}]})");
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 2'000; ++i) {
    const std::string bytes = mutator.next();
    ASSERT_NO_THROW(fuzz::records(bytes)) << "round " << i;
  }
}

}  // namespace
}  // namespace rocket
