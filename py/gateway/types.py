"""The types of destinations that a configuration file may name, and what each cannot do without."""

from __future__ import annotations

from dataclasses import dataclass

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.autotask import Autotask
from fieldpost.destinations.file import FileLines
from fieldpost.destinations.jira import Jira
from fieldpost.destinations.postgrest import PostgREST
from fieldpost.destinations.salesforce import Salesforce
from fieldpost.destinations.servicenow import ServiceNow
from fieldpost.destinations.webhook import Webhook
from fieldpost.destinations.zendesk import Zendesk


@dataclass(frozen=True, slots=True)
class Type:
    """``needs``: settings that have to be there; of names joined by ``|`` one of them."""

    adapter: type[Adapter]
    needs: tuple[str, ...] = ()

    def missing(self, settings: object) -> str:
        """The first need that the settings do not meet, in words; "" where they meet all."""
        given = settings if isinstance(settings, dict) else {}
        for need in self.needs:
            if not any(given.get(name) for name in need.split("|")):
                return " or ".join(f"settings.{name}" for name in need.split("|"))
        return ""


TYPES: dict[str, Type] = {
    "autotask": Type(Autotask, ("user", "company_id")),
    "file": Type(FileLines, ("url",)),
    "jira": Type(Jira, ("base_url", "project_key")),
    "postgrest": Type(PostgREST, ("url", "table")),
    "salesforce": Type(Salesforce, ("instance_url|url",)),
    "servicenow": Type(ServiceNow, ("instance|url",)),
    "webhook": Type(Webhook, ("url",)),
    "zendesk": Type(Zendesk, ("subdomain|url",)),
}
