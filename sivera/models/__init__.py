"""The tables. Ids of platforms are text; money is in major units, its ISO currency beside it; times are instants."""

from sivera.models.accounts import AdAccount, Campaign, CampaignDailyMetric, ReportRequest
from sivera.models.backups import Backup
from sivera.models.base import Base
from sivera.models.grants import PlatformCredential, PlatformOutage, Team, TokenKeyCheck, TokenRefreshLog
from sivera.models.jobs import CleanupRun, JobOccurrence, OutboxEvent, SyncRun
from sivera.models.web import OAuthState, WebSession

__all__ = [
    "AdAccount",
    "Backup",
    "Base",
    "Campaign",
    "CampaignDailyMetric",
    "CleanupRun",
    "JobOccurrence",
    "OAuthState",
    "OutboxEvent",
    "PlatformCredential",
    "PlatformOutage",
    "ReportRequest",
    "SyncRun",
    "Team",
    "TokenKeyCheck",
    "TokenRefreshLog",
    "WebSession",
]
