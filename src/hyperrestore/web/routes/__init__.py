"""The HTTP interface: what a page may ask for, and the answers, a file for each subject."""

from fastapi import APIRouter

from hyperrestore.web.routes import downloads, files, jobs, maps, operation, pages, photos, regions

router = APIRouter()
for subject in (pages, photos, regions, maps, jobs, downloads, operation):
    router.include_router(subject.router)
router.include_router(files.router)  # the last: it answers every path that is left
