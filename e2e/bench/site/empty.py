import js

js.document.documentElement.setAttribute("data-app", "ready")
