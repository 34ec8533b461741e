"""The tables. docs/data.md explains the columns; the models add what only writers need to know."""

from sivera.models.accounts import AccountDailyTotal, AdAccount, Campaign, CampaignDailyMetric, ReportRequest, SyncPart
from sivera.models.base import Base
from sivera.models.grants import PlatformCredential, PlatformOutage, TokenKeyCheck, TokenRefreshLog
from sivera.models.runs import CleanupRun, MetricSample, PlatformCall, SyncRun
from sivera.models.teams import Alert, Report, Team, TeamBudget
from sivera.models.web import OAuthState, WebSession

__all__ = [
    "AccountDailyTotal",
    "AdAccount",
    "Alert",
    "Base",
    "Campaign",
    "CampaignDailyMetric",
    "CleanupRun",
    "MetricSample",
    "OAuthState",
    "PlatformCall",
    "PlatformCredential",
    "PlatformOutage",
    "Report",
    "ReportRequest",
    "SyncPart",
    "SyncRun",
    "Team",
    "TeamBudget",
    "TokenKeyCheck",
    "TokenRefreshLog",
    "WebSession",
]
