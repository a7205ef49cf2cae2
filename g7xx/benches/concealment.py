"""Judges concealment; see concealment.sh. Prints Markdown tables of MOS-LQO (PESQ, narrow band).

Nothing was tuned to these segments. The concealer was developed on demo-instruct.wav of the English
and the Italian prompts, which is not among them.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy
import pesq

# File, first second; eight seconds each.
SEGMENTS = [
    ("demo-congrats", 1),
    ("demo-congrats", 12),
    ("conf-adminmenu-162", 0),
    ("conf-adminmenu-162", 9),
    ("priv-callee-options", 0),
    ("priv-callee-options", 12),
    ("basic-pbx-ivr-main", 0),
    ("basic-pbx-ivr-main", 12),
    ("demo-echotest", 2),
    ("screen-callee-options", 4),
    ("vm-options", 4),
    ("demo-abouttotry", 4),
]
METHODS = ["silence", "appendix-i", "immediate", "delayed", "next-known"]
# Losses in 1/1000, mean length of a burst in packets.
LOSSES = [(10, 1), (30, 1), (50, 1), (100, 1), (50, 2), (50, 3)]
PROGRAM, SOUNDS = sys.argv[1], pathlib.Path(sys.argv[2])
SEEDS = [1] if "--quick" in sys.argv[3:] else [1, 2, 3]


def play(method, segment, losses, seed):
    (speech,) = SOUNDS.rglob(f"en*/{segment[0]}.wav")
    with tempfile.NamedTemporaryFile() as output:
        parts = [method, losses[0], losses[1], seed, speech, segment[1], 8, output.name]
        subprocess.run([PROGRAM, *map(str, parts)], check=True)
        return numpy.fromfile(output.name, dtype=numpy.int16)


def judge(method, segment, losses):
    original = play("original", segment, losses, 1)
    scores = []
    for seed in SEEDS:
        played = play(method, segment, losses, seed)
        length = min(len(original), len(played))
        scores.append(pesq.pesq(8000, original[:length], played[:length], "nb"))
    return sum(scores) / len(scores)


def mean(scores):
    return sum(scores) / len(scores)


print(f"Seeds {SEEDS}, mu-law, packets of 20 ms. 5 % lost one by one, per segment:\n")
print("| segment, from second |", " | ".join(METHODS), "|")
print("| --- |" + " ---: |" * len(METHODS))
single = {}
for segment in SEGMENTS:
    row = [judge(method, segment, (50, 1)) for method in METHODS]
    single[segment] = row
    print(f"| {segment[0]}, {segment[1]} |", " | ".join(f"{score:.2f}" for score in row), "|", flush=True)
print("\nMean of all segments:\n")
print("| lost |", " | ".join(METHODS), "|")
print("| --- |" + " ---: |" * len(METHODS))
clean = mean([judge("clean", segment, (0, 1)) for segment in SEGMENTS])
print("| nothing |" + f" {clean:.2f} |" * len(METHODS))
for losses in LOSSES:
    columns = []
    for number, method in enumerate(METHODS):
        if losses == (50, 1):
            columns.append(mean([row[number] for row in single.values()]))
        else:
            columns.append(mean([judge(method, segment, losses) for segment in SEGMENTS]))
    how = "one by one" if losses[1] == 1 else f"bursts of {losses[1]} in the mean"
    print(f"| {losses[0] / 10:g} %, {how} |", " | ".join(f"{score:.2f}" for score in columns), "|", flush=True)
