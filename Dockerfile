# One image for every subcommand: the bundle and nothing else.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY build build
COPY src src
RUN node build/bundle.ts

FROM node:24-slim
WORKDIR /app
COPY --from=build /app/dist ./
COPY LICENSE ./
ENTRYPOINT ["node", "main.js"]
CMD ["agent"]
