"""Movies with Django REST framework on SQLite, in one module."""

import os
import uuid

import django
import jwt
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "django_filters",
    ],
    REST_FRAMEWORK={
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    },
    ROOT_URLCONF="movies",
    SECRET_KEY=os.environ["JWT_SECRET"],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User
from django.db import models
from django.urls import include, path
from django.utils import timezone
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework import (
    authentication,
    exceptions,
    filters,
    pagination,
    routers,
    serializers,
    viewsets,
)


class Movie(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=100)
    genre = models.CharField(max_length=100)
    year = models.IntegerField(db_index=True)
    created = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        app_label = "movies"


class Bearer(authentication.BaseAuthentication):
    def authenticate(self, request):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        try:
            claims = jwt.decode(token, settings.SECRET_KEY, ["HS256"])
        except jwt.InvalidTokenError:
            raise exceptions.AuthenticationFailed from None
        return User(id=claims["sub"], username=claims["username"]), None


class MovieSerializer(serializers.ModelSerializer):
    class Meta:
        model = Movie
        fields = ["id", "title", "genre", "year", "created"]


class MovieFilter(FilterSet):
    class Meta:
        model = Movie
        fields = {"title": ["icontains"], "year": ["gte", "lte"]}

    def __init__(self, data=None, *args, **kwargs):
        data = data.copy()
        if "title" in data:
            data["title__icontains"] = data["title"]
        super().__init__(data, *args, **kwargs)


class Pages(pagination.PageNumberPagination):
    page_size = 10
    page_size_query_param = "page_size"
    max_page_size = 100


class Movies(viewsets.ModelViewSet):
    queryset = Movie.objects.order_by("-created")
    serializer_class = MovieSerializer
    authentication_classes = [Bearer]
    pagination_class = Pages
    filter_backends = [DjangoFilterBackend, filters.OrderingFilter]
    filterset_class = MovieFilter
    ordering_fields = ["title", "year", "created"]


router = routers.DefaultRouter()
router.register("movies", Movies)
urlpatterns = [path("", include(router.urls))]
application = get_wsgi_application()
