"""Which pictures a prompt file asks for, and what makes each of them itself."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """One picture of a batch job. It depends on nothing else in the job.

    Attributes:
        prompt: its text.
        occurrence: 0 for the first line of the file with this text, 1 for the second, ...
        number: which of the pictures of that line, from 0.
    """

    prompt: str
    occurrence: int
    number: int

    @property
    def file(self) -> str:
        """Name of its file; lines added to or moved in the prompt file do not change it."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.prompt.lower()).strip("-")[:48].rstrip("-") or "prompt"
        digest = hashlib.blake2b(repr((self.prompt, self.occurrence)).encode(), digest_size=5).hexdigest()
        return f"{slug}-{digest}-{self.number:03d}.png"

    @property
    def video_file(self) -> str:
        """Name of the video of which :attr:`file` is the first frame."""
        return self.file.removesuffix(".png") + ".mp4"

    def noise_seed(self, seed: int) -> int:
        """Seed of its noise in [0, 2^63): a hash of the job's seed and of what the picture is."""
        key = repr((seed, "picture", self.prompt, self.occurrence, self.number)).encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def pictures_of(prompts: Sequence[str], images_per_prompt: int) -> list[Picture]:
    """The pictures of a job, those of one prompt beside each other."""
    seen: Counter[str] = Counter()
    pictures = []
    for prompt in prompts:
        pictures += [Picture(prompt, seen[prompt], number) for number in range(images_per_prompt)]
        seen[prompt] += 1
    return pictures
