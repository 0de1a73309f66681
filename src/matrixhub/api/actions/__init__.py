"""Matrix Web Services: `POST …/actions?op=…`, as existing clients speak it.

`request.py` reads what was asked, `registry.py` knows what there is to ask for, `app.py` calls and answers.
Source: docs/contract/web-services.md
"""

from matrixhub.api.actions.app import ActionsApp, is_actions_path

__all__ = ["ActionsApp", "is_actions_path"]
