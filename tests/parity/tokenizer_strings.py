"""Texts to compare tokenizers on: real ones, and made ones of every sort that tokenizers stumble over."""

import json
import random
from pathlib import Path

ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "accents": "áàâäãåāéèêëíìîïñóòôöõøúùûüçßœæÿžšđłİıſ",
    "greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώΑΒΓΔΩ", "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєАБВГД",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשתךםןףץ", "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةء",
    "devanagari": "कखगघचछजझटठडढणतथदधनपफबभमयरलवशषसहािीुूेैोौ्ं", "bengali": "কখগঘচছজঝটঠডঢতথদধনপফবভমািীুূেৈোৌ্ংৗ", "tamil": "கஙசஞடணதநபமயரலவழளறனாிீுூெேைொோௌ்",
    "thai": "กขคงจฉชซญดตถทธนบปผพมยรลวสหอะาิีึืุูเแโใไ่้๊๋", "han": "你好世界今天天气很中文字符测试機器學習數據語言模型一二三四五六七八九十",
    "kana": "あいうえおかきくけこさしすせそたちつてとアイウエオカキクケコガギグパピﾞﾟｱｲｳｶｷﾊ", "hangul": "가나다라마바사아자차카타파하한국어안녕하세요각힣",
    "jamo": "\u1100\u1102\u1103\u1161\u1165\u1169\u11a8\u11ab\u11af", "compat": "ﬁﬂ①②③½¼²³ⅧⅫＡＢａｂ１２㎏㍿℃™…‥ﷺ㈱ｶﾞ\u00a8\u037a\u1fbf",
    "math": "𝒜𝓫𝔠𝟘𝟙∑∏√∞≠≤≥±×÷", "symbols": "€£¥§¶†‡•‹›«»“”‘’–—¿¡°©®", "private": "\ue000\uf8ff\U000f0000\U0010ffff\ufffe\ufffd",
}
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u1680", "\u180e", "\u0085", "\u200b", " " * 9, "\t\t"]
MARKS = [chr(c) for c in (*range(0x300, 0x340), 0x345, 0x358, 0x591, 0x5b0, 0x64b, 0x651, 0x93c, 0x94d, 0x3099, 0x309a, 0xfe0f, 0x20dd, 0x1f3fd)]
EMOJI = ["😀", "👍", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵", "1️⃣", "❤️", "🧑🏿‍🚀", "👩🏻‍❤️‍💋‍👨🏼", "\u200d", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
CONTROLS = [chr(c) for c in (*range(0, 32), 127, *range(0x80, 0xa0), 0xad, 0x200c, 0x200d, 0x200e, 0x2060, 0xfeff, 0xfff9)]
WORDS = ["the", "don't", "it'll", "WE'RE", "answer", "Hello", "world", "1", "12", "2,048", "3.14", "x", "▁", "▁▁", "_", "</s>", "<s>", "<unk>", "<pad>",
         "[CLS]", "[MASK]", "[UNK]", "<mask>", "<|user|>", "<|endoftext|>", "<|im_start|>", "[INST]", "<0x41>", "<0xE2>", "##s", "Ġ"]
CODE = ["def f(x):\n    return x ** 2\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "if x != None and not y:\n\tpass\n", "SELECT * FROM t WHERE a >= 'b';",
        "<div class=\"x\">&nbsp;</div>", "\\frac{a}{b} + \\sum_{i=0}^{n}", "0xDEADBEEF 1e-10 0b101 ~/.bashrc --flag=value", "https://example.org/a?b=c&d=%20#e"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = [self.words, self.mixed, self.marks, self.emoji, self.controls, self.spaces, self.long_word, self.code, self.anything, self.repeated]

    def some(self, of, most):
        return [self.random.choice(of) for _ in range(self.random.randint(1, most))]

    def word(self, most=9):
        return "".join(self.some(self.random.choice(list(ALPHABETS.values())), most))

    def words(self):
        return " ".join(self.random.choice([self.word(), self.random.choice(WORDS)]) for _ in range(self.random.randint(1, 12)))

    def mixed(self):
        return "".join(self.random.choice([self.word(5), self.random.choice(PUNCTUATION), self.random.choice(SPACES), self.random.choice(WORDS)])
                       for _ in range(self.random.randint(1, 15)))

    def marks(self):
        return "".join(c + "".join(self.some(MARKS, 3)) if self.random.random() < 0.6 else c for c in self.word(12)) + self.random.choice(SPACES)

    def emoji(self):
        return "".join(self.random.choice([self.random.choice(EMOJI), self.word(4), " "]) for _ in range(self.random.randint(1, 10)))

    def controls(self):
        return "".join(self.random.choice([self.random.choice(CONTROLS), self.word(4), self.random.choice(SPACES)]) for _ in range(self.random.randint(1, 10)))

    def spaces(self):
        return "".join(self.random.choice([self.random.choice(SPACES), self.random.choice(WORDS)]) for _ in range(self.random.randint(1, 14)))

    def long_word(self):
        return self.word(120) if self.random.random() < 0.9 else self.word(2000)

    def code(self):
        return "".join(self.some(CODE, 3))

    def anything(self):
        codes = (self.random.choice([self.random.randint(0, 0x24ff), self.random.randint(0, 0xffff), self.random.randint(0, 0x10ffff)])
                 for _ in range(self.random.randint(1, 20)))
        return "".join(chr(c) for c in codes if not 0xd800 <= c < 0xe000)

    def repeated(self):
        return self.random.choice([self.word(3), self.random.choice(SPACES), self.random.choice(PUNCTUATION)]) * self.random.randint(1, 60)

    def make(self, count):
        return [""] + [self.kinds[i % len(self.kinds)]() for i in range(count - 1)]


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def texts_of(path):
    """All strings in a file of JSON or of JSON lines, once each."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        values = [json.loads(text)]
    except json.JSONDecodeError:
        values = [json.loads(line) for line in text.split("\n") if line.strip()]
    return list(dict.fromkeys(t for value in values for t in texts_in(value)))
