"""The end of a client's process, whatever it speaks: it leaves when its input ends, or is made to."""
import subprocess

LIMIT_S = 20


def end(process):
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
