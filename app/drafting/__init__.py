"""Drafting: from the rows of a table to the contract that fits them, with a reason for each of its lines.

    batches --tally--> what each column holds --judge--> features, label, time --write--> contract.toml

Nothing here reads files or topics: rows come in as batches, the text of a contract comes out.
"""

from app.drafting.choices import Choices
from app.drafting.draft import Draft, draft_contract
from app.drafting.table_tally import TableTally
from app.drafting.toml_text import contract_text

__all__ = ["Choices", "Draft", "TableTally", "contract_text", "draft_contract"]
