"""DNI: the weights of two networks, interpolated.

Source: X. Wang et al., "Deep network interpolation for continuous imagery effect transition", CVPR 2019,
arXiv 1811.10515, section 3: a share s of the way from one level to the other has the weights (1 - s) times
those of the start, plus s times those of the end. The network of the end is fine-tuned from the other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from adaptive.interface import Setting, Stage
from adaptive.plain import FollowsLevel
from torch import Tensor


class DNI(FollowsLevel):
    """Two main networks, of which every weight is interpolated.

    Args:
        setting: What all methods have in common.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.tuned = copy.deepcopy(self.main)
        self.stages: Sequence[Stage] = (
            Stage("main", levels=(setting.start,)),
            Stage("tuned", levels=(setting.end,)),
        )

    def begin(self, stage: int) -> None:
        """The second network begins as the first."""
        if stage == 1:
            self.tuned.load_state_dict(self.main.state_dict())

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """Those of the main network at one level."""
        share, tuned = self.setting.share(level), dict(self.tuned.named_parameters())
        return {name: (1 - share) * own + share * tuned[name] for name, own in self.main.named_parameters()}
