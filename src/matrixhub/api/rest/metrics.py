"""`/hub/v1/metrics` and `/hub/v1/solutions`: figures of a property, and the solutions it has."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import ApiRequest
from matrixhub.api.parts import Parts
from matrixhub.api.rest import metric_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.metric_documents import days_view, solution_view
from matrixhub.model.ids import PropertyId
from matrixhub.model.property_solution import Decision
from matrixhub.modules import metrics
from matrixhub.modules import property_solutions as solutions

NamespacePath = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Z_]{1,64}$", description=f"One of {', '.join([*metrics.PLACE_NAMESPACES, *metrics.NAMESPACES])}."
    ),
]
PrincipalQuery = Annotated[
    str | None, QueryParameter(pattern=r"^[^\x00]{1,128}$", description="A building; else the whole property.")
]
FirstQuery = Annotated[str, QueryParameter(pattern=r"^\d{8}$", description="The first day, YYYYMMDD.")]
LastQuery = Annotated[str, QueryParameter(pattern=r"^\d{8}$", description="The last day, YYYYMMDD.")]
HideQuery = Annotated[bool, QueryParameter(description="Leave out days without anything.")]
SolutionPath = Annotated[str, PathParameter(pattern=r"^[a-z_]{1,64}$", description="Id of the solution.")]


@get(
    "/metrics/{namespace:str}",
    operation_id="showMetrics",
    summary="How much there is",
    tags=["metrics"],
    opt={"permission": "scmetrics.getModuleMetrics", "problems": (400,)},
)
async def show(
    hub: Hub, property_id: PropertyScope, namespace: NamespacePath, principal: PrincipalQuery = None
) -> doc.FiguresView:
    """In a building, or in the property."""
    wanted = principal or property_id
    (found,) = await metrics.place_metrics(hub.platform, property_id, [wanted], namespace)
    figures = {key: float(str(value)) for key, value in found.items()}
    return doc.FiguresView(principal=wanted, namespace=namespace, figures=figures)


@get(
    "/metrics/{namespace:str}/days",
    operation_id="listMetricDays",
    summary="What happened day by day",
    tags=["metrics"],
    opt={"permission": "scmetrics.getModuleTSMetrics", "problems": (400,)},
)
async def days(
    hub: Hub,
    property_id: PropertyScope,
    namespace: NamespacePath,
    first: FirstQuery,
    last: LastQuery,
    principal: PrincipalQuery = None,
    hide_empty: HideQuery = False,
) -> doc.DaysView:
    """In the time of the building where it happened, at most 366 days."""
    wanted = principal or property_id
    asked = metrics.days_asked(namespace, [wanted], first, last, hide_empty=hide_empty)
    (found,) = await metrics.count_by_day(hub.platform, property_id, asked)
    return days_view(namespace, wanted, found)


@get(
    "/solutions",
    operation_id="listSolutions",
    summary="List solutions",
    tags=["solutions"],
    opt={"permission": "solution.listAllSolutionsForProperty"},
)
async def list_(hub: Hub, property_id: PropertyScope) -> doc.SolutionList:
    """Every solution that there is, and whether the property has it."""
    found = await solutions.list_solutions(hub.platform, property_id)
    return doc.SolutionList(items=[solution_view(one) for one in found])


@get(
    "/solutions/{solution_id:str}",
    operation_id="showSolution",
    summary="Show a solution",
    tags=["solutions"],
    opt={"permission": "solution.getSolutionForProperty"},
)
async def show_one(hub: Hub, property_id: PropertyScope, solution_id: SolutionPath) -> doc.SolutionView:
    """Whether the property has it, and who decided that."""
    return solution_view(await solutions.show_solution(hub.platform, property_id, solution_id))


@post(
    "/solutions/{solution_id:str}/add",
    operation_id="addSolution",
    summary="Ask for a solution",
    tags=["solutions"],
    status_code=200,
    opt={"permission": "solution.addSolutionToProperty"},
)
async def add(hub: Hub, property_id: PropertyScope, request: ApiRequest, solution_id: SolutionPath) -> doc.SolutionView:
    """It waits for approval; one that was added before stays as it is."""
    return solution_view(
        await solutions.add_solution(hub.platform, property_id, solution_id, actor=caller(request).actor)
    )


@post(
    "/solutions/{solution_id:str}/approve",
    operation_id="approveSolution",
    summary="Approve a solution",
    tags=["solutions"],
    status_code=200,
    opt={"permission": "solution.approveSolutionForProperty", "problems": (409,)},
)
async def approve(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, solution_id: SolutionPath
) -> doc.SolutionView:
    """One that was asked for."""
    return await _decided(hub, property_id, request, solution_id, "APPROVED")


@post(
    "/solutions/{solution_id:str}/deny",
    operation_id="denySolution",
    summary="Deny a solution",
    tags=["solutions"],
    status_code=200,
    opt={"permission": "solution.denySolutionForProperty", "problems": (409,)},
)
async def deny(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, solution_id: SolutionPath
) -> doc.SolutionView:
    """One that was asked for, or approved before."""
    return await _decided(hub, property_id, request, solution_id, "DENIED")


async def _decided(
    hub: Parts, property_id: PropertyId, request: ApiRequest, solution_id: str, decision: Decision
) -> doc.SolutionView:
    actor = caller(request).actor
    return solution_view(await solutions.decide_solution(hub.platform, property_id, solution_id, decision, actor=actor))


handlers = [show, days, list_, show_one, add, approve, deny]
