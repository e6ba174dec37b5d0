#include <gmock/gmock.h>
#include <stdlib.h>

#include "base/error.h"
#include "config/run_config.h"
#include "scratch.h"

namespace rocket {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Load : public Scratch {
 protected:
  RunConfig load(const std::string& yaml, const std::vector<std::string>& overrides = {},
                 std::span<const Input> inputs = {}) {
    return load_config(write("c.yaml", yaml), overrides, inputs);
  }

  // The message, with the folder cut off in front of the file's name.
  std::string refusal(const std::string& yaml, const std::vector<std::string>& overrides = {},
                      std::span<const Input> inputs = {}) {
    return message_of([&] { load(yaml, overrides, inputs); });
  }

  template <class F>
  std::string message_of(F&& f) {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      std::string message = e.what();
      const std::string folder = folder_.string() + "/";
      for (std::size_t at; (at = message.find(folder)) != std::string::npos;)
        message.erase(at, folder.size());
      return message;
    }
    return "accepted";
  }
};

TEST_F(Load, DefaultsHoldWhereNothingIsSaid) {
  const RunConfig c = load("run: r\n");
  EXPECT_EQ(c.run, "r");
  EXPECT_EQ(c.task.k, 50);
  EXPECT_EQ(c.bank.memory.bytes, std::int64_t{4} << 30);
  EXPECT_EQ(c.training.learning_rate, 5e-5);
  EXPECT_EQ(c.experts.signals, (std::vector<std::string>{"perplexity", "accuracy", "diversity"}));
  EXPECT_EQ(c.prompt.choice.name, "alpaca");
}

TEST_F(Load, ReadsEveryTypeOfValue) {
  const RunConfig c = load(R"(run: r
seed: 9223372036854775807
bank: {adapters: [a, b c], memory: 512MiB, exclude: ["1", x]}
task: {pattern: '(\d+)', fields: {instruction: question, answer: "5"}}
prompt: {template: {with_input: "{instruction}/{input}", without_input: "{instruction}"}}
corpus:
  records:
    - one.jsonl
    - two/*.gz
training: {learning_rate: 1e-3, clip: 2, balance_coefficient: .5}
evaluation: {rivals: []}
)");
  EXPECT_EQ(c.seed, 9223372036854775807u);
  EXPECT_EQ(c.bank.adapters.list, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(c.bank.adapters.one, "");
  EXPECT_EQ(c.bank.memory.bytes, 512 << 20);
  EXPECT_EQ(c.bank.exclude, (std::vector<std::string>{"1", "x"}));
  EXPECT_EQ(c.task.pattern, "(\\d+)");
  EXPECT_EQ(c.task.fields, (FieldMap{{"instruction", "question"}, {"answer", "5"}}));
  EXPECT_EQ(c.prompt.choice.name, "");
  EXPECT_EQ(c.prompt.choice.with_input, "{instruction}/{input}");
  EXPECT_EQ(c.corpus.records, (std::vector<std::string>{"one.jsonl", "two/*.gz"}));
  EXPECT_EQ(c.training.learning_rate, 1e-3);
  EXPECT_EQ(c.training.clip, 2.0);
  EXPECT_EQ(c.training.balance_coefficient, 0.5);
  EXPECT_TRUE(c.evaluation.rivals.empty());
  EXPECT_EQ(c.location("corpus.records"), (folder_ / "c.yaml").string() + ":7");
  EXPECT_EQ(c.location("corpus.fields"), (folder_ / "c.yaml").string() + ":6");
  EXPECT_EQ(c.location("encoder.path"), (folder_ / "c.yaml").string() + ":1");
}

TEST_F(Load, ReadsBooleansAndNumbersThatMayBeNull) {
  const RunConfig plain = load("run: r\ntask: {limit: null, ignore_case: false}\n");
  EXPECT_FALSE(plain.task.limit || plain.corpus.limit || plain.task.ignore_case ||
               plain.task.ignore_punctuation);
  ::setenv("ROCKET_TEST_FLAG", "true", 1);
  const RunConfig set = load(
      "run: r\ntask: {answer: exact, limit: 7, ignore_case: True, ignore_punctuation: "
      "'${ROCKET_TEST_FLAG}'}\n"
      "corpus: {limit: 1}\n");
  EXPECT_EQ(set.task.limit, 7);
  EXPECT_EQ(set.corpus.limit, 1);
  EXPECT_TRUE(set.task.ignore_case && set.task.ignore_punctuation);
  EXPECT_EQ(
      refusal("run: r\ntask: {answer: exact, ignore_case: yes, ignore_punctuation: 1}\ncorpus: {limit: 0}\n"),
      "c.yaml:2: task.ignore_case: expected true or false, found the text 'yes'\n"
      "c.yaml:2: task.ignore_punctuation: expected true or false, found the number '1'\n"
      "c.yaml:3: corpus.limit: 0 is out of range: 1 or more");
}

TEST_F(Load, RefusesOptionsThatTheKindOfAnswerDoesNotRead) {
  EXPECT_EQ(
      refusal("run: r\ntask: {answer: choice, take: last, ignore_case: true, ignore_punctuation: true}\n"),
      "c.yaml:2: task.take: has no effect with task.answer choice: it is for regex\n"
      "c.yaml:2: task.ignore_case: has no effect with task.answer choice: it is for exact and regex\n"
      "c.yaml:2: task.ignore_punctuation: has no effect with task.answer choice: it is for exact and regex");
  EXPECT_EQ(refusal("run: r\ntask: {answer: exact, take: last}\n"),
            "c.yaml:2: task.take: has no effect with task.answer exact: it is for regex");
  EXPECT_EQ(refusal("run: r\ntask: {answer: regex, pattern: (a), take: last, ignore_case: true}\n"),
            "accepted");
}

TEST_F(Load, TheConfigurationMayDecideWhatItReads) {
  const auto inputs_of = [](const RunConfig& c) {
    return c.task.shots.empty() ? std::vector<Input>{} : std::vector<Input>{Input::shots};
  };
  EXPECT_EQ(message_of([&] { load_config(write("c.yaml", "run: r\n"), {}, inputs_of); }), "accepted");
  EXPECT_EQ(
      message_of([&] { load_config(write("c.yaml", "run: r\ntask: {shots: no}\nsed: 1\n"), {}, inputs_of); }),
      "c.yaml:3: sed: unknown key; did you mean 'seed'?\nc.yaml:2: task.shots: no does not exist");
}

TEST_F(Load, EverythingThatIsWrongIsToldAtOnce) {
  const std::array inputs = {Input::base, Input::shots};
  EXPECT_EQ(refusal(R"(run: r
sed: 1
task:
  k: fifty
  shots: nowhere.jsonl
  k: 3
  aswer: choice
scoring:
  similarity: delta
  batch_tokens: 0
training:
  top_k: 1
  epochs: 1.5
)",
                    {"bank.memry=1GiB", "selection.threshold=-1"}, inputs),
            "c.yaml:2: sed: unknown key; did you mean 'seed'?\n"
            "c.yaml:4: task.k: expected a whole number, found the text 'fifty'\n"
            "c.yaml:6: task.k: set twice (first in line 4)\n"
            "c.yaml:7: task.aswer: unknown key; did you mean 'task.answer'?\n"
            "c.yaml:9: scoring.similarity: unknown value 'delta'; did you mean 'delta_w'? "
            "One of: delta_w, factors, released_code\n"
            "c.yaml:10: scoring.batch_tokens: 0 is out of range: 1 or more\n"
            "c.yaml:12: training.top_k: unknown key; did you mean 'mixture.top_k'?\n"
            "c.yaml:13: training.epochs: expected a whole number, found the number '1.5'\n"
            "--set bank.memry=1GiB: bank.memry: unknown key; did you mean 'bank.memory'?\n"
            "--set selection.threshold=-1: selection.threshold: -1 is out of range: above -1, at most 1\n"
            "c.yaml:1: base.path: not set, and this job reads it\n"
            "c.yaml:5: task.shots: nowhere.jsonl does not exist");
}

struct Case {
  const char* yaml;
  const char* message;
};

TEST_F(Load, WrongTypesAndRanges) {
  const Case cases[] = {
      {"seed: -1", "seed: -1 is out of range: 0 or more"},
      {"seed: 9223372036854775808", "seed: 9223372036854775808 is out of range"},
      {"seed: true", "seed: expected a whole number, found the boolean 'true'"},
      {"seed: \"1\"", "seed: expected a whole number, found the text '1'"},
      {"seed: [1]", "seed: expected a whole number, found a list"},
      {"seed:", "seed: expected a whole number, found nothing"},
      {"device: gpu", "device: unknown value 'gpu'"},
      {"task: [a]", "task: expected a mapping of keys to values, found a list"},
      {"task: {name: 5}", "task.name: expected text, found the number 5"},
      {"task: {name: false}", "task.name: expected text, found the boolean false"},
      {"task: {name: null}", "task.name: expected text, found nothing"},
      {"task: {k: 0}", "task.k: 0 is out of range: 1 or more"},
      {"task: {fields: x}", "task.fields: expected a mapping {ours: theirs}, found 'x'"},
      {"task: {fields: {question: a}}", "task.fields.question: no field of a record"},
      {"task: {fields: {input: ''}}", "task.fields.input: must not be empty"},
      {"base: {path: ''}", "base.path: must not be empty"},
      {"bank: {exclude: a}", "bank.exclude: expected a list such as [a, b], found 'a'"},
      {"bank: {exclude: [a, 5]}", "bank.exclude[1]: expected text, found the number 5"},
      {"bank: {exclude: [a, a]}", "'a' stands in the list twice"},
      {"bank: {exclude: [[a]]}", "bank.exclude[0]: expected text, found a list"},
      {"bank: {memory: 4 gigs}", "bank.memory: expected a size such as 4GiB"},
      {"bank: {memory: 0}", "bank.memory: 0 is out of range"},
      {"bank: {memory: -4GiB}", "bank.memory: expected a size"},
      {"bank: {memory: 9999999999GiB}", "bank.memory: expected a size"},
      {"experts: {signals: [perplexity, luck]}", "experts.signals: unknown value 'luck'"},
      {"selection: {threshold: 1.1}", "selection.threshold: 1.1 is out of range"},
      {"selection: {gamma: .nan}", "selection.gamma: expected a finite number"},
      {"selection: {gamma: .inf}", "selection.gamma: expected a finite number"},
      {"selection: {gamma: nan}", "selection.gamma: expected a number, found the text 'nan'"},
      {"training: {clip: 0}", "training.clip: 0 is out of range: above 0"},
      {"training: {lora_dropout: 1}", "training.lora_dropout: 1 is out of range: at least 0, below 1"},
      {"training: {learning_rate: 1e-999}", "training.learning_rate: 1e-999 is out of range"},
      {"training: {epochs: 99999999999999999999}", "training.epochs: 99999999999999999999 is out of range"},
      {"training: {epochs: !x 5}", "training.epochs: the YAML tag !x means nothing here"},
      {"prompt: {template: vicuna}", "prompt.template: unknown value 'vicuna'"},
      {"prompt: {template: {with_input: '{instruction}{input}'}}",
       "prompt.template.without_input: must hold {instruction}"},
      {"prompt: {template: {with_input: '{instruction}', without_input: '{instruction}'}}",
       "prompt.template.with_input: must hold {input}"},
      {"prompt: {template: {with_inptu: x}}", "did you mean 'prompt.template.with_input'?"},
      {"experts: {count: 5, candidates: 4}",
       "experts.count: 5 experts (N) cannot be chosen from 4 candidates"},
      {"experts: {count: 0}", "experts.count: 0 is out of range"},
      {"experts: {candidates: 3}", "experts.count: 4 experts (N) cannot be chosen from 3 candidates"},
      {"task: {answer: regex}", "task.pattern: not set"},
      {"? [a]\n: b", "a key must be text, found a list"},
      {"evaluation: {rivals: [bse]}", "did you mean 'base'?"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(refusal(std::string("run: r\n") + c.yaml + "\n"), HasSubstr(c.message)) << c.yaml;
  }
}

TEST_F(Load, AcceptedAtTheEdges) {
  for (const char* yaml :
       {"selection: {threshold: 1}", "selection: {threshold: -0.999}", "training: {epochs: 0}",
        "task:", "seed: +3", "experts: {count: 9, names: [a, b]}", "training: {warmup: 1, lora_dropout: 0}",
        "experts: {signals: []}", "base: {path: null}", "corpus: {records: []}",
        "task: {answer: regex, pattern: '(x)'}", "bank: {memory: 1}", "task: {name: !!str 5}",
        "experts: {candidates: 4, count: 4}"}) {
    EXPECT_EQ(refusal(std::string("run: r\n") + yaml + "\n"), "accepted") << yaml;
  }
}

TEST_F(Load, FilesThatAreNoConfiguration) {
  EXPECT_EQ(refusal(""), "c.yaml: empty; a configuration sets at least one key");
  EXPECT_EQ(refusal("# only words\n"), "c.yaml: empty; a configuration sets at least one key");
  EXPECT_EQ(refusal("- a\n"), "c.yaml:1: expected a mapping of keys to values, found a list");
  EXPECT_EQ(refusal("hello\n"), "c.yaml:1: expected a mapping of keys to values, found 'hello'");
  EXPECT_EQ(refusal("seed: 1\n"), "c.yaml:1: run: not set; the run directory has no default");
  EXPECT_EQ(refusal("run:\n"), "c.yaml:1: run: not set; the run directory has no default");
  EXPECT_EQ(refusal("run: a\n---\nrun: b\n"), "c.yaml: more than one YAML document");
  EXPECT_EQ(refusal(",!n: r\n"), "c.yaml: more than one YAML document");
  EXPECT_EQ(refusal("run: a\nseed: \xff\n"), "c.yaml:2: not valid UTF-8");
  EXPECT_THAT(refusal("run: a\ntask:\n\tk: 5\n"), HasSubstr("c.yaml:3:"));
  EXPECT_THAT(refusal("run: a\ntask:\n\tk: 5\n"), HasSubstr("indent with spaces, not with tabs"));
  EXPECT_THAT(refusal("run: a\ntask: {k: 5\n"), HasSubstr("c.yaml:3:1: not YAML"));
  EXPECT_THAT(refusal("run: a\ntask: {k: ${K}}\n"), HasSubstr("a ${VAR} needs quotes"));
  EXPECT_EQ(message_of([&] { load_config(folder_ / "none.yaml", {}); }), "none.yaml: no such file");
  EXPECT_THAT(message_of([&] { load_config(folder_, {}); }),
              HasSubstr("a folder, where a YAML file is expected"));
}

TEST_F(Load, VariablesAreExpanded) {
  ::setenv("ROCKET_TEST_SET", "/data", 1);
  ::setenv("ROCKET_TEST_NUMBER", "7", 1);
  ::setenv("ROCKET_TEST_EMPTY", "", 1);
  ::unsetenv("ROCKET_TEST_UNSET");
  const RunConfig c = load(
      "run: ${ROCKET_TEST_SET}/x-${ROCKET_TEST_NUMBER}\n"
      "base: {path: '${ROCKET_TEST_UNSET:-/there}', dtype: \"${ROCKET_TEST_EMPTY:-bfloat16}\"}\n"
      "task: {k: '${ROCKET_TEST_NUMBER}', name: '$${A} $B ${ROCKET_TEST_EMPTY}'}\n"
      "encoder: {path: '${ROCKET_TEST_SET}${ROCKET_TEST_SET}'}\n"
      "bank: {exclude: ['${ROCKET_TEST_NUMBER}']}\n");
  EXPECT_EQ(c.run, "/data/x-7");
  EXPECT_EQ(c.base.path, "/there");
  EXPECT_EQ(c.base.dtype, "bfloat16");
  EXPECT_EQ(c.task.k, 7);
  EXPECT_EQ(c.task.name, "${A} $B ");
  EXPECT_EQ(c.encoder.path, "/data/data");
  EXPECT_EQ(c.bank.exclude, std::vector<std::string>{"7"});

  EXPECT_EQ(
      refusal("run: r\nbase:\n  path: ${ROCKET_TEST_UNSET}/m\n"),
      "c.yaml:3: base.path: environment variable ROCKET_TEST_UNSET is not set; set it or give a default: "
      "${ROCKET_TEST_UNSET:-...}");
  EXPECT_THAT(refusal("run: ${A-B}\n"), HasSubstr("names no environment variable"));
  EXPECT_THAT(refusal("run: ${A\n"), HasSubstr("'${' without '}'"));
  EXPECT_THAT(refusal("run: ${ROCKET_TEST_UNSET:-${B}}\n"), HasSubstr("holds another variable"));
  // What --set replaces needs no variable.
  EXPECT_EQ(load("run: r\nbase: {path: '${ROCKET_TEST_UNSET}'}\n", {"base.path=here"}).base.path, "here");
}

TEST_F(Load, OverridesWin) {
  const RunConfig c = load("run: r\ntask: {k: 5}\n",
                           {"task.k=6", "task.k=7", "bank.exclude=[a, b]", "task.fields={answer: gold}",
                            "task.pattern=null", "scoring={batch_tokens: 9, similarity: factors}",
                            "encoder.prefix=''", "task.name=a=b", "evaluation.tune=[1.0e-4, 0.5]"});
  EXPECT_EQ(c.task.k, 7);
  EXPECT_EQ(c.bank.exclude, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.task.fields, (FieldMap{{"answer", "gold"}}));
  EXPECT_EQ(c.evaluation.tune, (std::vector<double>{1e-4, 0.5}));
  EXPECT_EQ(c.scoring.batch_tokens, 9);
  EXPECT_EQ(c.scoring.similarity, "factors");
  EXPECT_EQ(c.encoder.prefix, "");
  EXPECT_EQ(c.task.name, "a=b");
  EXPECT_EQ(c.location("task.k"), "--set task.k=7");
}

TEST_F(Load, WrongOverrides) {
  EXPECT_EQ(refusal("run: r\n", {"task.k", "=5", "task.k=x", "task.name=[a", "nosuch.key=1", "task.k=0"}),
            "--set task.k: expected key.path=value\n"
            "--set =5: expected key.path=value\n"
            "--set task.name=[a: not a YAML value: end of sequence flow not found\n"
            "--set task.k=x: task.k: expected a whole number, found the text 'x'\n"
            "--set nosuch.key=1: nosuch.key: unknown key; did you mean 'task.k'?\n"
            "--set task.k=0: task.k: 0 is out of range: 1 or more");
  EXPECT_THAT(refusal("run: r\n", {"experts.candidates=2"}),
              HasSubstr("--set experts.candidates=2: experts.count: 4 experts"));
  // A file's own mistakes count though --set replaces the value.
  EXPECT_THAT(refusal("run: r\ntask: {k: 0}\n", {"task.k=5"}),
              HasSubstr("c.yaml:2: task.k: 0 is out of range"));
}

TEST_F(Load, PathsAreAskedForByInput) {
  write("base/config.json", "{}");
  write("data/a.jsonl", "");
  const std::string here = folder_.string();
  const std::string yaml = "run: r\nbase: {path: " + here + "/base}\nbank: {adapters: [" + here + "/base, " +
                           here + "/gone]}\ntask: {shots: " + here + "/base, evaluation: " + here +
                           "/data/a.jsonl}\ncorpus: {records: [" + here + "/data/*.jsonl, " + here +
                           "/data/*.gz]}\nencoder: {path: " + here + "/data/a.jsonl}\n";
  EXPECT_EQ(refusal(yaml), "accepted");
  EXPECT_EQ(refusal(yaml, {}, std::array{Input::base, Input::evaluation}), "accepted");
  EXPECT_EQ(refusal(yaml, {}, all_inputs),
            "c.yaml:3: bank.adapters: gone does not exist\n"
            "c.yaml:4: task.shots: base is a folder, not a file\n"
            "c.yaml:5: corpus.records: data/*.gz matches no file\n"
            "c.yaml:6: encoder.path: data/a.jsonl is not a folder");
  const RunConfig c = load(yaml);
  EXPECT_EQ(message_of([&] { require_paths(c, std::array{Input::encoder}); }),
            "c.yaml:6: encoder.path: data/a.jsonl is not a folder");
  EXPECT_THAT(refusal("run: r\nbase: 5\n", {}, std::array{Input::base}), Not(HasSubstr("not set")));
}

TEST_F(Load, AnyBytesEndInAnErrorOrAConfiguration) {
  const std::string good =
      "run: r\ntask: {k: 5, fields: {input: a}}\nbank:\n  exclude: [a, 'b']\n  memory: 4GiB\n";
  std::uint64_t state = 1;
  const auto draw = [&state](std::uint64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  };
  const std::string bytes = "\t\n :{}[]&*!|>'\"%@`#-?,$~.0a\xff\x00\xc3\xa9";
  for (int i = 0; i < 800; ++i) {
    std::string yaml = good;
    for (std::uint64_t k = draw(4) + 1; k > 0; --k) yaml[draw(yaml.size())] = bytes[draw(bytes.size())];
    refusal(yaml);
  }
}

}  // namespace
}  // namespace rocket
