"""What becomes of a letter with each client, at each port, with each attacker: a matrix, predicted first.

WHAT       `tls_picture(matrix, predicted, 25)`: `matrix` is what `run_matrix` found, `predicted` maps rows such as
           "587 required" to four words of OUTCOMES, `?` for none; ports name those that are shown. `picture.why(...)`
           tells the story of one cell.
RULES      what is not predicted is not shown, and has no story yet. Outcomes come from a run, never from here.
READ NEXT  verdict_matrix.py, ../views/tls_story.py
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.lab.tls_cell import OUTCOMES, PORTS
from labkit.lab.tls_matrix import NoSuchCell, TlsMatrix, expect_cell
from labkit.teach.given import expect
from labkit.teach.plots.picture import ORANGE, PURPLE, RED, SKY, YELLOW
from labkit.teach.plots.verdict_matrix import VerdictMatrix, Vocabulary, WrongPrediction, read_predictions
from labkit.teach.views.tls_story import TlsStory

_COLOURS = {
    "encrypted": SKY,
    "refused": "#eeeeee",
    "clear": YELLOW,
    "read": ORANGE,
    "injected": PURPLE,
    "stolen": RED,
}
OF_TLS = Vocabulary(
    {outcome: _COLOURS[outcome] for outcome in OUTCOMES},
    "What becomes of the letter",
    "port and client",
    "refused",
    "{'25 plain': {'none': 'clear'}}",
)


class TlsPicture(VerdictMatrix):
    """The matrix, and a story for each of its cells."""

    def __init__(
        self, matrix: TlsMatrix, predicted: Mapping[str, str] | None, ports: tuple[int, ...]
    ) -> None:
        self.matrix = matrix
        rows = matrix.rows(*ports)
        super().__init__(rows, read_predictions(rows, predicted, OF_TLS), OF_TLS)

    def why(self, *, port: int, client: str, attacker: str) -> TlsStory:
        """The story of one cell. Raises NoSuchCell; LookupError for one that is not predicted yet."""
        expect_cell(port, client, attacker)
        row = self.cells.get(f"{port} {client}", {})
        if attacker not in row:
            raise NoSuchCell(f"{port} {client}, {attacker}: this cell is not in the picture")
        if row[attacker].is_open:
            raise NoSuchCell(f"{port} {client}, {attacker}: first predict it, then ask why")
        return TlsStory(self.matrix.why(port=port, client=client, attacker=attacker))


def tls_picture(matrix: TlsMatrix, predicted: Mapping[str, str] | None = None, *ports: int) -> TlsPicture:
    """Draw it. Raises WrongPrediction: an unknown row or port, a word too many or too few, one that is no outcome."""
    expect(matrix, TlsMatrix, "tls_picture(await run_matrix())")
    if unknown := [port for port in ports if port not in PORTS]:
        raise WrongPrediction(f"there is no port {unknown[0]} in it; there are {', '.join(map(str, PORTS))}")
    return TlsPicture(matrix, predicted, ports)
