#include "answers/rules.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace rocket {
namespace {

constexpr AnswerRule kRules[] = {
    {"number", "hash_mark", "the number behind the first `####`", "9 * 2 = 18.\n#### 18\n#### 7", "18"},
    {"number", "box", "the number in the last `\\boxed{}`", "Of 3 apples \\boxed{2} are left, not 1.", "2"},
    {"number", "answer",
     "the number that the last \"answer\" announces, also in other languages and as \"A:\"",
     "The answer is 14. I used 3 steps.", "14"},
    {"number", "last", "the last number", "3 cats have 12 legs.", "12"},
    {"number", "not_one_number", "none: several numbers, a sum that is not worked out, or an unclear one",
     "Answer: 12 or 13", nullptr},
    {"number", "nothing", "none", "The answer is twelve.", nullptr},

    {"choice", "box", "the letter in the last `\\boxed{}`", "A is tempting. \\boxed{D}", "D"},
    {"choice", "answer", "the letter that the last \"answer\" announces, also in other languages",
     "Is the answer A? No, the answer is D.", "D"},
    {"choice", "verdict", "the letter that is called correct or is picked", "I would pick B, a safe choice.",
     "B"},
    {"choice", "leading", "the letter with which the text begins, unless it lists the options",
     "B. Because A is lighter.", "B"},
    {"choice", "conclusion", "the letter behind \"so\", \"therefore\" and the like",
     "Option A: wrong. Option B: wrong. Therefore C", "C"},
    {"choice", "named", "\"(B)\" or \"option B\", where it is the only one", "A plant needs light: option B.",
     "B"},
    {"choice", "first", "the first letter that is no word and is not refused", "Not A, I think C", "C"},
    {"choice", "several", "none: more than one letter", "Answer: (A) or (B)", nullptr},
    {"choice", "nothing", "none", "None of the above", nullptr},

    {"boolean", "box", "the word in the last `\\boxed{}`", "It is true that 1 < 2. \\boxed{\\text{False}}",
     "no"},
    {"boolean", "answer", "the word that the last \"answer\" announces, also in other languages",
     "It is true that he came. The answer is no.", "no"},
    {"boolean", "leading", "the word with which the text begins", "Yes, because nothing is false here.",
     "yes"},
    {"boolean", "verdict", "what is said of the statement",
     "It is true that he came, but the claim is false.", "no"},
    {"boolean", "conclusion", "the word behind \"so\", \"therefore\" and the like",
     "That is not false for birds. So no.", "no"},
    {"boolean", "first", "the first word, turned round by \"not\"; not the \"no\" of \"no doubt\"",
     "There is no doubt: this is not true.", "no"},
    {"boolean", "several", "none: both words in one", "yes or no", nullptr},
    {"boolean", "nothing", "none", "No answer.", nullptr},

    {"exact", "whole", "the whole text, white space folded", " New \n York ", "New York"},
    {"regex", "first_match", "group 1 of the first match of `task.pattern` (here `=(\\w+)`)", "x=a, y=b",
     "a"},
    {"regex", "last_match", "group 1 of the last match, with `task.take: last`", "x=a, y=b", "b"},
    {"regex", "nothing", "none", "x, y", nullptr},

    {"code", "fence",
     "the last block between fences that defines something, else the last that is Python; not output, not a "
     "shell's",
     "```python\ndef f(x):\n    return x + 1\n```\nOutput:\n```\n2\n```", "def f(x):\n    return x + 1\n"},
    {"code", "marks", "what stands between `[PYTHON]` and `[/PYTHON]`, `[BEGIN]` and `[DONE]`, or tags",
     "[PYTHON]\nx = 1\n[/PYTHON]", "x = 1"},
    {"code", "answer", "what follows the last `Answer:`", "Facts. Answer: def f(x): return 1\n",
     "def f(x): return 1"},
    {"code", "whole", "the whole text, without prose around it",
     "def f(x):\n    return x + 1\n\nThis adds one.", "def f(x):\n    return x + 1"},
};

constexpr AnswerForm kForms[] = {
    {"number", "-$5", "-5", "sign before the currency"},
    {"number", "$-5", "-5", "sign behind the currency"},
    {"number", "The result is \u22125", "-5", "U+2212 and other dashes"},
    {"number", "The result is - 5", "-5", "a sign that stands apart, behind \"is\", \"=\" or \":\""},
    {"number", "So x = 10-3 = 7", "7", "a minus between numbers is no sign"},
    {"number", "$70,000", "70000", "commas that part thousands"},
    {"number", "\\boxed{1{,}000}", "1000", "LaTeX"},
    {"number", "12\u202f500 euros", "12500", "blanks that part thousands, of any width"},
    {"number", "1'000'000", "1000000", "apostrophes"},
    {"number", "1.000,50", nullptr, "a decimal comma is not guessed at"},
    {"number", "\uff11\uff12", "12", "full-width digits, and those of all scripts"},
    {"number", "50%", "50", "percent stays what is written, not 0.5"},
    {"number", "\\frac{3}{4}", "0.75", "fractions are compared as values: 3/4, 6/8 and 0.75 are equal"},
    {"number", "1 1/3", "4/3", "a mixed fraction; one that does not end stays a fraction"},
    {"number", "2.5e-07", "0.00000025", "exponents"},
    {"number", "3 \u00d7 10\u2076", "3000000", "powers of ten"},
    {"number", "2^10", nullptr, "other powers are not worked out"},
    {"number", "1.5 million", "1500000", "hundred to trillion, k, \u4e07, \u4ebf"},
    {"number", "He has 14 left at 10:30", "14", "times, dates, ratios and versions are no numbers"},
    {"number", "I need 3 apples [1]", "3", "footnotes, ordinals (\"3rd\") only where nothing else is there"},
    {"number", "The primes are 2, 3, 5", "5", "a list"},
    {"number", "It takes 5 * 4", nullptr, "a sum that is not worked out"},
    {"number", "The answer is 3 + 4 = 7", "7", "one that is"},
    {"number", "The answer is not 12 but 14", "14", "refused numbers"},
    {"number", "Antwort: 14", "14", "other languages: answer_words.h"},
    {"number", "<think>So 3?</think>14", "14", "behind the reasoning"},
    {"number", "14\n\n### Instruction:\nHow much is 3 + 4?\n\n### Response:\n7", "14",
     "before the next turn"},

    {"choice", "\u7b54\u6848\uff1a\uff22", "B", "full-width letters, other languages"},
    {"choice", "The answer is not A but C.", "C", "refused letters"},
    {"choice", "Answer:\n\nD", "D", "on the next line"},
    {"choice", "d ", "D", "a small letter alone or behind \"answer\""},
    {"choice", "A plant needs light", nullptr, "the article"},
    {"choice", "The answer: I do not know", nullptr, "the pronoun"},
    {"choice", "Vitamin C is needed. Correct: B", "B", "a letter that belongs to a noun"},
    {"choice", "A and C are wrong. B fits.", "B", "lists of letters"},
    {"choice", "A is wrong. {\"answer\": \"C\"}", "C", "JSON and tags"},

    {"boolean", "True or false? The sun is cold, so this is false.", "no", "a question that is repeated"},
    {"boolean", "This is not true.", "no", "negation"},
    {"boolean", "S\u00ed, claro.", "yes", "other languages; `task.yes_words` and `task.no_words` add more"},
    {"boolean", "{\"answer\": true}", "yes", "JSON and tags"},
    {"boolean", "Answer: F", "no", "T, F, Y, N where announced or alone"},

    {"code", "def f(x):\n    return x + 1\n```\n\nThis function adds one.", "def f(x):\n    return x + 1\n",
     "a closing fence without an opening one"},
    {"code", "~~~python\nx = 1\n~~~", "x = 1\n", "tildes"},
    {"code", "1. Like this:\n   ```python\n   x = 1\n   ```", "x = 1\n", "indented fences"},
    {"code", "```python\nx = 1\n```\nRun it:\n```bash\npython x.py\n```", "x = 1\n", "a shell's block"},
    {"code", "x = 1\nif __name__ == '__main__':\n    print(input())", "x = 1", "the main guard is left out"},
    {"code", "\ufeffx = 1", "x = 1", "byte order marks"},
};

/// A text as JSON in backticks, fit for a cell of a table.
std::string cell(std::string_view text) {
  const std::string dumped =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string escaped;
  for (const char c : dumped) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  const bool ticks = dumped.find('`') != std::string::npos;
  return ticks ? fmt::format("```` {} ````", escaped) : fmt::format("`{}`", escaped);
}

std::string found_cell(const char* found) {
  return found ? cell(found) : "null";
}

constexpr const char* kHead = R"(# How answers are read

Made from the table in `src/answers/rules.cpp` by a test (`ROCKET_WRITE_ANSWERS=1 build/tests/test_answers`); not to be
edited by hand.

`task.answer` names the kind. Try your own outputs: `rocket extract` reads JSON strings, one a line, and prints what is
found (null: nothing) and the rule that decided:

    echo '"The answer is 14. I used 3 steps."' | rocket extract --answer number
    {"found":"14","rule":"answer"}

Rules of a kind are tried in the order of their table; the first that finds something decides. `number`, `choice` and
`boolean` look at the part of a text in which the answer lies: behind the reasoning (`</think>`), before the next turn
that a base model writes by itself (`### Instruction:`, `Question:`, `</s>`, ...). Where both halves of a doubt are
plausible, nothing is found: a wrong reading would count for a wrong reason. `exact` and `regex` read the text as it is.

Gold values are read in the same way, but must say one thing. Refused are: more than one number ("12 or 13"), times,
dates, decimal commas and powers for `number`; more than one letter, or a word that reads as one, for `choice`; both
words for `boolean`.
)";

}  // namespace

std::span<const AnswerRule> answer_rules() {
  return kRules;
}

std::span<const AnswerForm> answer_forms() {
  return kForms;
}

std::string answers_page() {
  std::string page = kHead;
  for (const std::string_view kind : {"number", "choice", "boolean", "exact", "regex", "code"}) {
    page += fmt::format("\n## {}\n\n| rule | takes | example | found |\n|---|---|---|---|\n", kind);
    for (const AnswerRule& rule : kRules) {
      if (rule.kind == kind)
        page += fmt::format("| `{}` | {} | {} | {} |\n", rule.name, rule.takes, cell(rule.example),
                            found_cell(rule.found));
    }
    bool first = true;
    for (const AnswerForm& form : kForms) {
      if (form.kind != kind) continue;
      if (first) page += "\n| form | found | |\n|---|---|---|\n";
      first = false;
      page += fmt::format("| {} | {} | {} |\n", cell(form.text), found_cell(form.found), form.note);
    }
  }
  return page;
}

}  // namespace rocket
