"""The AWS door: route → signature → parse → permission → operation → answer.

``Api.handle`` is the server's handler. A call that waits for nothing runs without a coroutine.
"""

from __future__ import annotations

import itertools
import os
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pileus.services.call import (
    ANONYMOUS,
    Access,
    Authorizer,
    Call,
    Directory,
    HttpRequest,
    HttpResponse,
    Principal,
    Submission,
)
from pileus.services.service import Service, Watch
from pileus.telemetry import Meters
from pileus.wire import packing, refusals, tables_address
from pileus.wire.answers import Answers, object_ids
from pileus.wire.constraints import check_of
from pileus.wire.failures import invalid_input, not_offered, unknown_operation
from pileus.wire.known_heads import KnownHead, KnownHeads
from pileus.wire.known_objects import KnownObjects
from pileus.wire.models import Models
from pileus.wire.names import SERVICES, ServiceName
from pileus.wire.payload import expand
from pileus.wire.plan import LINKS, Pending, Plan
from pileus.wire.post_form import read_form
from pileus.wire.protocols.operation import plain_label
from pileus.wire.retries import id_of, write_id
from pileus.wire.router import STRAY, Route, Router
from pileus.wire.short_way import ShortWay
from pileus.wire.signed_door import Door, SignedDoor
from pileus.wire.sigv4 import Caller, Evidence, Verifier
from pileus.wire.swift import Swifts

BODY_MAX = {"lambda": 100 * 1024 * 1024, "s3": 16 * 1024 * 1024, "dynamodb": 16 * 1024 * 1024}
BODY_MAX_OTHER = 8 * 1024 * 1024
_READY = (dict, HttpResponse)
# Operations a repeat cannot harm, asked often: their SDK's retry id is not worth a hash.
_READS = frozenset(
    {"GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems", "GetObject", "HeadObject"}
)
_UNSIGNED_OPERATIONS = frozenset({"PreflightRequest", "PostObject"})


class Api:
    """One process's door. ``owner`` is given in dev mode only: who unknown keys act as."""

    def __init__(
        self,
        services: Mapping[str, Service],
        directory: Directory,
        authorizer: Authorizer,
        *,
        now_ms: Callable[[], int],
        account: str,
        region: str,
        dev: bool = False,
        models: Models | None = None,
        meters: Meters | None = None,
    ) -> None:
        self.services = services
        self.models = models or Models()
        self.meters = meters or Meters()
        self.router = Router(self.models)
        self.authorizer = authorizer
        self.region = region
        owner = Principal.owner(account)
        self.directory = directory
        self.now_ms = now_ms
        self._verifier = Verifier(directory, now_ms, owner if dev else None)
        seed = os.urandom(10).hex()
        self._id_prefix = f"{seed[:8]}-{seed[8:12]}-4{seed[12:15]}-a{seed[15:18]}-"
        self._calls = itertools.count(1)
        self._plans: dict[tuple[str, str, str], Plan] = {}
        self._put = Route(SERVICES["s3"], "PutObject", "rest-xml", {})
        self.heads = KnownHeads(directory, now_ms)
        self.answers = Answers(self.models, self.router, self.meters.cells)
        ids = self._calls, self.request_id
        self.swifts = Swifts(authorizer, now_ms, region, self.answers, *ids, self.heads.stands)
        objects = services["s3"].objects if "s3" in services else None
        self._short: ShortWay | None = None
        self.objects: KnownObjects | None = None
        if objects is not None:
            self._short = short = ShortWay(
                objects, self.router, self._verifier, directory, authorizer, now_ms, self.meters
            )
            told = self._id_prefix.encode(), b64encode(os.urandom(48))
            lines = b"x-amz-request-id: %b%%012x\r\nx-amz-id-2: %b%%012x\r\n" % told
            makers = self.answers, self.request_id, self._calls, lines
            self.objects = KnownObjects(objects, short, *makers, self._put)
            short.learn = self.objects.learn

    def request_id(self) -> str:
        """Unique in the cloud: a random prefix per process and a counter."""
        return f"{self._id_prefix}{next(self._calls):012x}"

    def signed(self, door: Door, service: str) -> SignedDoor:
        """``door`` behind this API's signatures (signing name ``service``) and permissions."""
        return SignedDoor(door, service, self._verifier, self.authorizer, self.region)

    def admit(self, request: HttpRequest, service: str, region: str, access: Access) -> Principal:
        """Who signed ``request`` for ``service`` (a signing name), if they may do what ``access``
        names; raises ``AwsError``. For doors that guard single paths. The body must be read."""
        principal = self.signer(request, service)
        call = Call(service, "Invoke", principal, region, {}, request=request)
        self.authorizer.check(call, [access])
        return principal

    def signer(self, request: HttpRequest, service: str) -> Principal:
        """Who signed ``request`` for ``service``; raises ``AwsError``. The body must be read."""
        caller = self._verifier.verify(request, "json", service)
        if caller.principal is ANONYMOUS:
            raise refusals.missing("json")
        return caller.principal

    def handle(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """The server's handler."""
        if type(request.head) is tuple:
            return self._again(request, *request.head)
        router, coding = self.router, ""
        if request.method == "POST":
            coding = packing.wish(request)
            route = None if coding else router.targets.get(request.headers.get("x-amz-target"))
            if route is not None and route.plan is not None and router.is_own(request):
                evidence = self._verifier.proven(request, route.plan.signing)
                if evidence is not None:
                    return self._learn(request, route, route.plan, evidence)
        elif self._short is not None:
            plain = self._short.answer(request)
            if plain is not None:
                return self._plain(plain, request)
        door = router.door(request)
        if door is not None:
            return door(request)
        if coding:
            return self._packed(request, coding)
        if request.stream is not None:
            return self._handle_stream(request)
        return self._handle_buffered(request)

    def _learn(
        self, request: HttpRequest, route: Route, plan: Plan, evidence: Evidence
    ) -> HttpResponse | Awaitable[HttpResponse]:
        """A head that came before: the next time it is recognised before it is read."""
        request.meter = plan.meter
        if plan.service.single is not None and plan.direct:
            self.heads.learn(request, route, plan, evidence)
        caller = Caller(evidence.held.principal, evidence.claim.region)
        return self._run_known(request, route, plan, caller, self.request_id())

    def _again(
        self, request: HttpRequest, known: KnownHead, told: bytes
    ) -> HttpResponse | Awaitable[HttpResponse]:
        """A request by a known head; ``told`` is its SDK's retry id."""
        plan, principal = known.plan, known.held.principal
        repeated = b""
        if told and not plan.reads:
            repeated = write_id(told.decode(), principal.arn, plan.operation, "", request.body)
        call = Call(
            plan.service.name,
            plan.operation,
            principal,
            known.region or self.region,
            {},
            self.request_id(),
            repeated,
            request,
        )
        return self._run_call(call, known.route, plan)

    def _plain(
        self, plain: HttpResponse | Submission, request: HttpRequest
    ) -> HttpResponse | Awaitable[HttpResponse]:
        """An answer of the short way gets its ids; a write is waited for."""
        request_id = self.request_id()
        if type(plain) is HttpResponse:
            plain.ready += object_ids(request_id)
            return plain
        assert type(plain) is Submission
        route = self._put
        plan = route.plan or self._plan(route)
        return Pending(self, plan, route, request, request_id, plain)

    def _handle_buffered(
        self, request: HttpRequest, watch: Watch | None = None
    ) -> HttpResponse | Awaitable[HttpResponse]:
        request_id = self.request_id()
        route: Route | None = None
        try:
            route = self.router.route(request)
            if route is STRAY:
                told_id = self.answers.told_id(request_id)
                return tables_address.answer(request, told_id, self.region)
            plan = route.plan or self._plan(route)
            request.meter = plan.meter
            if watch is None and plan.service.watch is not None:
                watch = plan.service.watch(request, route.labels, plan.operation)
                if watch is not None:
                    return self._watched(request, watch)
            if plan.unsigned:
                caller = Caller(ANONYMOUS, self.region)
            else:
                caller = self._verifier.verify(request, plan.kind, plan.signing)
                if caller.principal is ANONYMOUS and not plan.open_to_all:
                    raise refusals.missing(plan.kind)
            if route.operation == "PostObject":
                return self._post_form(request, route, plan, request_id, watch)
        except Exception as e:
            return self.answers.failed(e, route, request, request_id)
        return self._run_known(request, route, plan, caller, request_id, watch)

    def _run_known(
        self,
        request: HttpRequest,
        route: Route,
        plan: Plan,
        caller: Caller,
        request_id: str,
        watch: Watch | None = None,
    ) -> HttpResponse | Awaitable[HttpResponse]:
        """The call of a known caller: permission, operation, answer."""
        try:
            if "content-encoding" in request.headers and route.protocol[:4] != "rest":
                expand(request, BODY_MAX.get(plan.name.name, BODY_MAX_OTHER))
            call = self._call(request, route, plan, caller, request_id)
        except Exception as e:
            return self.answers.failed(e, route, request, request_id)
        if watch is not None:
            watch.call = call
        return self._run_call(call, route, plan)

    def _run_call(
        self, call: Call, route: Route, plan: Plan
    ) -> HttpResponse | Awaitable[HttpResponse]:
        request: HttpRequest = call.request  # type: ignore[assignment]
        try:
            result = self._run(plan, call)
        except Exception as e:
            return self.answers.failed(e, route, request, call.request_id)
        if result is None or isinstance(result, _READY):
            return self.answers.finish(plan, result, call.request_id)
        if type(result) is Submission:
            return Pending(self, plan, route, request, call.request_id, result)
        return self._wait(result, plan, route, request, call.request_id)

    async def _packed(self, request: HttpRequest, coding: str) -> HttpResponse:
        """By the usual way, whose answers are not kept."""
        long = request.stream is not None
        result = self._handle_stream(request) if long else self._handle_buffered(request)
        answer = result if isinstance(result, HttpResponse) else await result
        return await packing.pack(answer, coding)

    async def _watched(self, request: HttpRequest, watch: Watch) -> HttpResponse:
        result = self._handle_buffered(request, watch)
        response = result if isinstance(result, HttpResponse) else await result
        watch.answered(response)
        return response

    async def _handle_stream(self, request: HttpRequest) -> HttpResponse:
        """A body that is long or of unknown length: streamed to operations that take a stream,
        read here for the others."""
        route: Route | None = None
        try:
            if "x-www-form-urlencoded" in request.headers.get("content-type", ""):
                await request.read(BODY_MAX_OTHER)
            else:
                route = self.router.route(request)
                if not self._takes_stream(route):
                    await request.read(BODY_MAX.get(route.service.name, BODY_MAX_OTHER))
        except Exception as e:
            return self.answers.failed(e, route, request, self.request_id())
        result = self._handle_buffered(request)
        return result if isinstance(result, HttpResponse) else await result

    def _takes_stream(self, route: Route) -> bool:
        if route.operation == "PostObject":
            return True
        if route.service.name != "s3" or not route.operation:
            return False
        codec = self.models.codec("s3").operation(route.operation)
        return codec is not None and codec.streams

    # --- steps -------------------------------------------------------------------------------
    def _plan(self, route: Route) -> Plan:
        """What runs this operation. Raises for an operation nobody offers."""
        key = (route.service.name, route.operation, route.protocol)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._make_plan(route)
        route.plan = plan
        return plan

    def _make_plan(self, route: Route) -> Plan:
        name, operation = route.service, route.operation
        asked = route.asked or operation
        codec = self.models.codec(name.name, route.protocol)
        compiled = codec.operation(operation) if operation else None
        if compiled is None and operation not in _UNSIGNED_OPERATIONS:
            raise unknown_operation(name, asked)
        service = self.services.get(name.name)
        run = direct = None
        if service is not None:
            direct = service.direct.get(operation)
            run = direct or service.operations.get(operation)
        if service is None or run is None:
            raise not_offered(name, operation)
        return Plan(
            name,
            operation,
            service,
            run,
            direct is not None,
            compiled,
            refusals.family(route.protocol, name.name),
            operation in _UNSIGNED_OPERATIONS,
            operation not in _UNSIGNED_OPERATIONS and self._open_to_all(name, operation),
            operation in _READS,
            name.signing,
            self.meters.requests("pileus_request", service=name.name, operation=operation),
            self._check(name, operation) if compiled is not None and direct is None else None,
        )

    def _check(self, name: ServiceName, operation: str) -> Callable[[dict[str, Any]], None] | None:
        shape = self.models.service(name.name).operation_model(operation).input_shape
        return check_of(name.name, shape, invalid_input(name.name, name.protocol), self.region)

    def _open_to_all(self, name: ServiceName, operation: str) -> bool:
        """Operations that take unsigned calls: S3's (its policies decide), and by the model
        (AssumeRoleWithWebIdentity), and SNS's links."""
        if name.name == "s3" or (name.name, operation) in LINKS:
            return True
        model = self.models.service(name.name).operation_model(operation)
        return bool(model.auth_type == "none" or model.auth == ["smithy.api#noAuth"])

    def _call(
        self, request: HttpRequest, route: Route, plan: Plan, caller: Caller, request_id: str
    ) -> Call:
        principal, region = caller.principal, caller.region or self.region
        params: dict[str, Any] = {}
        labels = route.labels
        if not plan.direct and plan.codec is not None:
            params = plan.codec.parse(request, labels)
            if plan.check is not None:
                plan.check(params)
        elif labels:
            params = {k: plain_label(v) for k, v in labels.items()}
        told = None if plan.reads else request.headers.get("amz-sdk-invocation-id")
        what = principal.arn, plan.service.name, plan.operation, request, labels
        repeated = b"" if told is None else id_of(told, *what)
        return Call(
            plan.service.name,
            plan.operation,
            principal,
            region,
            params,
            request_id,
            repeated,
            request,
        )

    def _run(self, plan: Plan, call: Call) -> Any:
        service = plan.service
        single = None if service.single is None else service.single(call)
        if single is not None:
            if not self.authorizer.remembers(call.principal, *single):
                self.authorizer.check(call, service.access(call))
        elif not self._remembers_several(service, call):
            self.authorizer.check(call, service.access(call))
        return plan.run(call)

    def _remembers_several(self, service: Service, call: Call) -> bool:
        several = None if service.several is None else service.several(call)
        if several is None:
            return False
        remembers, principal = self.authorizer.remembers, call.principal
        return all(remembers(principal, action, resource) for action, resource in several)

    async def _wait(
        self, result: Any, plan: Plan, route: Route, request: HttpRequest, request_id: str
    ) -> HttpResponse:
        try:
            return self.answers.finish(plan, await result, request_id)
        except Exception as e:
            return self.answers.failed(e, route, request, request_id)

    async def _post_form(
        self,
        request: HttpRequest,
        route: Route,
        plan: Plan,
        request_id: str,
        watch: Watch | None,
    ) -> HttpResponse:
        """A browser's form upload: its policy is its signature (S3, "POST Object")."""
        try:
            bucket = plain_label(route.labels["Bucket"])
            form = await read_form(request, bucket, self.directory, self.now_ms())
            params = {"Bucket": bucket, **form.params}
            call = Call(
                "s3", "PostObject", form.principal, self.region, params, request_id, b"", request
            )
            if watch is not None:
                watch.call = call
            result = self._run(plan, call)
            if not (result is None or isinstance(result, _READY)):
                result = await result
            return self.answers.finish(plan, result, request_id)
        except Exception as e:
            return self.answers.failed(e, route, request, request_id)
